"""Where layers come from: config files, the suites that ship with convcheck, model files, and `init`."""
