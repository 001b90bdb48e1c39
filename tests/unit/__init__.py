"""Unit tests: the contract, the rules, the path of a job, and the parts of the adapters without I/O."""
