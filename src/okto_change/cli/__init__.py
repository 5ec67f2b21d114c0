"""The command line. The only click; no decisions."""

import gc

# A command imports hundreds of modules and ends; with the usual threshold the collector walks through all of them dozens
# of times and frees nothing.
gc.set_threshold(20_000, 20, 100)

# Said to every command itself: click keeps the first help option that it makes for one, whatever context asked.
CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}
