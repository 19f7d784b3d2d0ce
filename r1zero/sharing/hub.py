"""Exports on the Hugging Face Hub: whether one can be pushed, found out before the work, and the push itself."""

from pathlib import Path

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from r1zero.models.hub import go_offline_if_unreachable


def check_push(name: str) -> None:
    """This machine can push to the repository ``name`` as far as can be known before.

    Raises:
        ValueError: It is no name of a repository, nobody is logged in, or the Hub is out of reach.
    """
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ValueError(f"push_to_hub = {name}: {error}") from error
    if get_token() is None:
        raise ValueError(f"push_to_hub = {name}: nobody is logged in. Give `hf auth login` first, or leave it out.")
    go_offline_if_unreachable()
    if constants.HF_HUB_OFFLINE:
        raise ValueError(f"push_to_hub = {name}: the Hub is out of reach. Leave it out; `hf upload` pushes later.")
    try:
        HfApi().whoami()
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"push_to_hub = {name}: the login is not accepted ({reason}). `hf auth login` renews it."
        ) from error


def push(folder: Path, name: str, private: bool) -> str:
    """Push ``folder`` to the repository ``name``, made if it is not there; its address.

    Raises:
        ValueError: The Hub refuses; the folder stays.
    """
    api = HfApi()
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=address.repo_id, folder_path=folder, commit_message="A model trained by r1zero")
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"push_to_hub = {name}: {reason}. The export is kept: `hf upload {name} {folder}` tries again."
        ) from error
    return str(address)
