"""Where layers come from: config files, the suites that ship with convcheck, model files, and `init`.

reading    a YAML file as plain data and a table of places, within bounds
config     that data as a suite; every error of a file at once
schema     the keys of a config file, and its JSON Schema
shipped    the suites that ship with convcheck, and what a CONFIG argument stands for
select     which layers a command is about: ``-k`` and ``--layer``
importing  models and lists of shapes to configs
recording  layers that a command calls
audit      what a set of layers could ever show
starter    what `convcheck init` writes
"""
