"""All that talks to the broker: the door for producers' messages, Celery's queue, results, dead letters."""
