"""One suite per port, run on the fake and on the real thing, against real servers on 127.0.0.1."""
