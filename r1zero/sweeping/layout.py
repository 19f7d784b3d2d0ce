"""Names in a sweep directory, whose subfolders are the run directories of its jobs"""

SWEEP = "sweep.json"
TABLE = "sweep.csv"
PAGE = "sweep.html"
JOB, LOCK, LOG = "job.json", "job.lock", "job.log"  # in the folder of each job
