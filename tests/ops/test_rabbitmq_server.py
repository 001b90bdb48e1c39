"""The RabbitMQ fixture: each way of breaking a node, and its return on the same ports."""

import signal
import time

import amqp
import pytest
import requests

from ops.lib import queues
from ops.lib.ending import Ended
from ops.lib.ports import is_port_free
from ops.lib.servers import QueueDepth, RabbitMqServer, ServerError
from tests.conftest import require
from tests.contract.waiting import eventually
from tests.ops.test_redis_server import is_alive


def connect(server: RabbitMqServer) -> amqp.Connection:
    connection = amqp.Connection(f"127.0.0.1:{server.ports.amqp}", connect_timeout=5, read_timeout=5)
    connection.connect()
    return connection


def publish(server: RabbitMqServer, queue: str) -> None:
    with connect(server) as connection, connection.channel() as channel:
        channel.confirm_select()
        channel.queue_declare(queue, durable=True, auto_delete=False)
        channel.basic_publish_confirm(amqp.Message("x", delivery_mode=2), routing_key=queue)


def test_confirmed_messages_survive_a_kill_on_the_same_port(rabbitmq_server: RabbitMqServer) -> None:
    publish(rabbitmq_server, "survivor")
    # The node writes the declaration of a queue to disk with a delay, unlike a confirmed message.
    rabbitmq_server.ctl("eval", "mnesia:sync_log().")
    url, old_pid = rabbitmq_server.url, rabbitmq_server.pid
    rabbitmq_server.kill()
    assert not rabbitmq_server.running
    with pytest.raises(ConnectionRefusedError):
        connect(rabbitmq_server)
    rabbitmq_server.start()
    assert rabbitmq_server.pid != old_pid
    assert rabbitmq_server.url == url
    # While a queue is being recovered, the list does not show it.
    kept = QueueDepth(ready=1, unacknowledged=0)
    eventually(lambda: rabbitmq_server.queue_depths().get("survivor") == kept, 30)
    rabbitmq_server.ctl("delete_queue", "survivor")


def test_closing_all_connections_reaches_the_client(rabbitmq_server: RabbitMqServer) -> None:
    connection = connect(rabbitmq_server)
    rabbitmq_server.close_all_connections("maintenance")
    with pytest.raises(amqp.ConnectionForced, match="maintenance"):
        connection.drain_events(timeout=5)


def test_a_stopped_application_refuses_connections_until_started(rabbitmq_server: RabbitMqServer) -> None:
    rabbitmq_server.stop_app()
    try:
        assert rabbitmq_server.running
        with pytest.raises(ConnectionRefusedError):
            connect(rabbitmq_server)
    finally:
        rabbitmq_server.start_app()
    connect(rabbitmq_server).close()


@pytest.mark.timeout(60)
def test_a_command_that_is_ended_does_not_close_its_connection_in_order(
    rabbitmq_server: RabbitMqServer,
) -> None:
    """If the broker hangs, an orderly close would wait for its answer for ever."""
    box = queues.connect(rabbitmq_server.url)
    with rabbitmq_server.frozen(), pytest.raises(Ended), box:
        raise Ended(signal.SIGTERM)


def test_a_paused_node_answers_nothing(rabbitmq_server: RabbitMqServer) -> None:
    address = f"127.0.0.1:{rabbitmq_server.ports.amqp}"
    connection = amqp.Connection(address, connect_timeout=0.3, read_timeout=0.3)
    with rabbitmq_server.frozen(), pytest.raises(TimeoutError):
        connection.connect()
    connect(rabbitmq_server).close()


def test_each_test_has_a_virtual_host_of_its_own(rabbitmq_server: RabbitMqServer, rabbitmq_url: str) -> None:
    vhost = rabbitmq_url.rpartition("/")[2]
    assert rabbitmq_server.queue_depths(vhost) == {}
    began = time.monotonic()
    rabbitmq_server.add_vhost("another one")
    rabbitmq_server.delete_vhost("another one")
    assert time.monotonic() - began < 2
    with pytest.raises(ServerError, match="refused DELETE /api/vhosts/another%20one: 404"):
        rabbitmq_server.delete_vhost("another one")


def test_a_failing_command_says_why(rabbitmq_server: RabbitMqServer) -> None:
    with pytest.raises(ServerError, match=r"(?s)rabbitmqctl delete_queue absent failed: .*not found"):
        rabbitmq_server.ctl("delete_queue", "absent")


def test_options_reach_the_node_and_nothing_is_left_behind() -> None:
    require(*RabbitMqServer.available())
    with RabbitMqServer(prometheus=True, consumer_timeout_ms=5000, channel_tick_interval_ms=2000) as server:
        assert "rabbitmq_queues" in requests.get(server.prometheus_url, timeout=5).text
        assert server.ctl("eval", "application:get_env(rabbit, consumer_timeout).").strip() == "{ok,5000}"
        assert (
            server.ctl("eval", "application:get_env(rabbit, channel_tick_interval).").strip() == "{ok,2000}"
        )
        processes = [server.pid, server._epmd.pid, int(server.ctl("eval", "os:getpid().").strip().strip('"'))]
    assert not any(is_alive(pid) for pid in processes)
    assert all(is_port_free(port) for port in server.ports)
