"""The command line. The only click; no decisions."""

import gc

# A command imports hundreds of modules and ends; with the usual threshold the collector walks through all of them dozens
# of times and frees nothing. Imports leave some 70 000 objects: with 100 000 a small change ends before the first walk,
# and a large one, which keeps no rows, is still collected.
gc.set_threshold(100_000, 20, 100)

# Said to every command itself: click keeps the first help option that it makes for one, whatever context asked.
CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}
