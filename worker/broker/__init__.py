"""The brokers' side: producers' messages in (door), Celery's queue, results and dead letters out."""
