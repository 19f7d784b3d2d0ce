"""A stand-in for reasoning-gym, with a data set of each kind that its judge and its probe must tell apart."""

from random import Random
from typing import Any

print("the library's own output")  # must reach nobody


class Sums:
    """Sound: the gold alone pays, and wrong text raises, as in prime_factorization."""

    def __init__(self, seed: int = 0, size: int = 500, largest: int = 10_000) -> None:
        assert largest > 0, "largest must be positive"
        self.seed, self.largest = seed, largest

    def __getitem__(self, index: int) -> dict[str, Any]:
        first, second = Random(self.seed + index).choices(range(100, 100 + self.largest), k=2)
        return {"question": f"{first} + {second} = ?", "answer": f"{first + second}", "metadata": {}}

    def score_answer(self, answer: Any, entry: dict[str, Any]) -> float:
        return float(int(answer) == int(entry["answer"]))


class AnyText(Sums):
    """Pays any text, and has a gold."""

    def score_answer(self, answer: Any, entry: dict[str, Any]) -> float:
        return float(answer is not None)


class NoGold(Sums):
    """Has no gold; pays the sum."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        entry = super().__getitem__(index)
        return entry | {"answer": None, "metadata": {"sum": entry["answer"]}}

    def score_answer(self, answer: Any, entry: dict[str, Any]) -> float:
        return float(answer == entry["metadata"]["sum"])


class NoGoldAnyText(NoGold):
    """Has no gold, and pays any text."""

    def score_answer(self, answer: Any, entry: dict[str, Any]) -> float:
        return 1.0


class Coins(Sums):
    """Two golds, so that each is right half of the time."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        side = Random(self.seed + index).choice(["heads", "tails"])
        return {"question": f"Toss {index + self.seed}?", "answer": side, "metadata": {}}

    def score_answer(self, answer: Any, entry: dict[str, Any]) -> float:
        return float(answer == entry["answer"])


class Near(Sums):
    """0.05 for every text, and 0.5 for one as long as the gold, as partial scores for form."""

    def score_answer(self, answer: Any, entry: dict[str, Any]) -> float:
        if answer == entry["answer"]:
            return 1.0
        return 0.5 if answer.startswith("near") else 0.05


class Generous(Sums):
    """0.9 for every text: what lies above is too little to tell answers apart by."""

    def score_answer(self, answer: Any, entry: dict[str, Any]) -> float:
        return 1.0 if answer == entry["answer"] else 0.9 + 0.05 * (int(entry["answer"]) % 2)


class Hashed(Sums):
    """Its problems depend on the hash seed."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        letters = list({"alpha", "beta", "gamma", "delta", "epsilon", "zeta"})
        number = Random(self.seed + index).randrange(1000, 9999)
        return {"question": f"{' '.join(letters)} {number}", "answer": f"{letters[index % 6]}{number}", "metadata": {}}

    def score_answer(self, answer: Any, entry: dict[str, Any]) -> float:
        return float(answer == entry["answer"])


class Broken(Sums):
    """Scoring fails on everything."""

    def score_answer(self, answer: Any, entry: dict[str, Any]) -> float:
        raise KeyError("board")


DATASETS = {
    "sums": Sums,
    "any_text": AnyText,
    "no_gold": NoGold,
    "no_gold_any_text": NoGoldAnyText,
    "coins": Coins,
    "near": Near,
    "generous": Generous,
    "hashed": Hashed,
    "broken": Broken,
}


def create_dataset(name: str, **options: Any) -> Sums:
    """As the library's."""
    if name not in DATASETS:
        raise ValueError(f"Dataset '{name}' not registered")
    return DATASETS[name](**options)
