"""The modules that workers load before they fork, so that programs need not."""

# What most solutions import. Loaded once here instead of once for each program.
PRELOADED = """
abc array ast bisect calendar cmath collections contextlib copy dataclasses datetime decimal enum fractions functools
heapq io itertools json math numbers operator queue random re statistics string textwrap threading time timeit traceback
types typing unicodedata warnings weakref
""".split()
# What some need, and a fork is slower with: a worker with it too serves the programs that name one of these.
PRELOADED_TOO = """
codecs csv ctypes difflib hashlib inspect keyword linecache locale logging pickle platform pprint secrets shutil
subprocess tempfile uuid zlib concurrent.futures concurrent.futures.thread encodings.latin_1 encodings.ascii
encodings.utf_16 _strptime zoneinfo base64 binascii asyncio graphlib typing_extensions numpy numpy.random numpy.linalg
numpy.fft
""".split()
# At level 1 nothing can be opened, so what is not loaded here cannot be imported.
PRELOADED_WITHOUT_FILES = """
bz2 lzma gzip zipfile tarfile sqlite3 xml.etree.ElementTree xml.dom.minidom html html.parser plistlib tomllib sched
colorsys configparser argparse getopt optparse glob fnmatch pathlib multiprocessing socket select selectors ssl email
http urllib.parse urllib.request unittest doctest cProfile profile pstats pdb dis symtable tokenize token code codeop
ipaddress mimetypes quopri shlex stringprep sysconfig turtle zipimport curses fileinput filecmp cmd rlcompleter
""".split()
