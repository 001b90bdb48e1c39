"""The real servers that the demo, the tests and the benchmarks start on 127.0.0.1."""

from ops.lib.ports import PortClaim
from ops.lib.process import ServerError
from ops.lib.rabbitmq_server import QueueDepth, RabbitMqServer
from ops.lib.redis_server import RedisServer

__all__ = ["PortClaim", "QueueDepth", "RabbitMqServer", "RedisServer", "ServerError"]
