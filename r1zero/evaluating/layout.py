"""Names in the folder of one evaluation, and of the table beside such folders"""

SETTINGS, RESULT = "settings.json", "result.json"
PROBLEMS = "problems.parquet"
COMPLETIONS = "completions"
LOCK = "lock"
TABLE = "table.txt"
