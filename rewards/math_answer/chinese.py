"""Chinese words of answers in LaTeX: units, measure words, "and", "or", and usual phrases. Numerals are not read."""

import re

_UNITS = {
    "平方厘米": "cm^2",
    "平方分米": "dm^2",
    "平方千米": "km^2",
    "平方公里": "km^2",
    "平方米": "m^2",
    "立方厘米": "cm^3",
    "立方分米": "dm^3",
    "立方米": "m^3",
    "千米每小时": "km/h",
    "千米/小时": "km/h",
    "千米/时": "km/h",
    "公里/小时": "km/h",
    "米每秒": "m/s",
    "米/秒": "m/s",
    "千米": "km",
    "公里": "km",
    "厘米": "cm",
    "毫米": "mm",
    "分米": "dm",
    "千克": "kg",
    "公斤": "kg",
    "毫克": "mg",
    "毫升": "mL",
    "小时": "hours",
    "分钟": "minutes",
    "秒钟": "seconds",
    "美元": "USD",
    "欧元": "euro",
    "人民币": "yuan",
    "摄氏度": "degree C",
    "星期": "weeks",
    "个月": "months",
    "米": "m",
    "克": "g",
    "吨": "ton",
    "升": "L",
    "秒": "seconds",
    "元": "yuan",
    "度": "degrees",
    "天": "days",
    "日": "days",
    "周": "weeks",
    "月": "months",
    "年": "years",
    "岁": "years",
}
# Words that only count what stands in front of them; 百, 千, 万 and 亿 multiply it and are not among them.
_MEASURES = "个人名位只本支枝件条块张辆台次种对颗棵盒包箱袋瓶杯头匹座间层排组份套题道页步项朵双圈户班架艘筐桶把"
_COUNTED = "人生苹果糖书车树花球票同学学生小朋友方法整数数学生不同的孩子鸡兔"
_PHRASES = {
    "全体实数": r"\mathbb{R}",
    "所有实数": r"\mathbb{R}",
    "实数集": r"\mathbb{R}",
    "任意实数": r"\mathbb{R}",
    "空集": r"\emptyset",
    "无实数解": r"\emptyset",
    "无解": r"\emptyset",
    "不存在": r"\text{does not exist}",
    "正无穷": r"\infty",
    "无穷大": r"\infty",
    "以及": r"\text{ and }",
    "或者": r"\text{ or }",
    "和": r"\text{ and }",
    "与": r"\text{ and }",
    "及": r"\text{ and }",
    "且": r"\text{ and }",
    "或": r"\text{ or }",
}
_HAN = re.compile("[\u4e00-\u9fff]")
_LEAD = re.compile("^(?:答案?|因此|所以|共有?)?(?:答案)?[是为]?[:：]?(?=[^\u4e00-\u9fff])")
_NUMBER = r"(?<=[0-9})a-zA-Z])"
_UNIT = re.compile(
    rf"{_NUMBER}(\$?\s*)(?:\\text\s*\{{)?\s*[(（]?\s*(?:({'|'.join(_UNITS)})|([{_MEASURES}])[{_COUNTED}]{{0,4}})"
    rf"\s*[)）]?\s*(\}}?)(?=[\s,;，；。$和与及或]|$)"
)
_PHRASE = re.compile("|".join(_PHRASES))


def in_latex(text: str) -> str:
    r"""The text with its Chinese words as LaTeX; those that are not known stay.

    >>> in_latex("5 厘米"), in_latex("x=1 或 x=2"), in_latex("3万")
    ('5 \\text{ cm}', 'x=1 \\text{ or } x=2', '3万')
    """
    if _HAN.search(text) is None:
        return text
    text = _LEAD.sub("", text.strip())
    text = _UNIT.sub(_unit, text)
    return _PHRASE.sub(lambda found: _PHRASES[found[0]], text)


def _unit(found: re.Match[str]) -> str:
    if not found[2]:
        return found[1]
    name, power, exponent = _UNITS[found[2]].partition("^")
    return rf"{found[1]}\text{{ {name}}}{power}{exponent}"
