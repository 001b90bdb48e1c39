"""One suite per port, run on the fake and on the real adapter, with real servers on 127.0.0.1."""
