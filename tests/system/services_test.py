#!/usr/bin/python3
"""The services themselves: what was acknowledged is still there after a kill and a
restart on the same port; nothing stays behind."""
import os
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import services  # noqa: E402


class PrivateTest(unittest.TestCase):
    def survives(self, service, write, read):
        """write(n) puts n where read() finds it."""
        self.addCleanup(service.close)
        service.start()
        folder, port = service.folder.path, service.port
        for n, end in enumerate((service.kill, service.stop)):
            write(n)
            end()
            self.assertFalse(service.running())
            service.restart()
            self.assertEqual(service.port, port)
            self.assertEqual(sorted(read()), list(range(n + 1)))
        child = service.process.child
        service.close()
        self.assertIsNotNone(child.poll())
        self.assertFalse(os.path.exists(folder))

    def test_postgres(self):
        pg = services.Postgres()

        def write(n):
            pg.sql("CREATE TABLE IF NOT EXISTS t (n int)")
            pg.sql("INSERT INTO t VALUES (%s)", n)
        self.survives(pg, write, lambda: [n for n, in pg.sql("SELECT n FROM t")])

    def test_kafka(self):
        from confluent_kafka import Producer
        kafka = services.Kafka(proxied=True)
        names = []

        def write(n):
            if not names:
                names.append(kafka.topic("services"))
            producer = Producer({"bootstrap.servers": kafka.proxied, "acks": "all"})
            producer.produce(names[0], str(n))
            self.assertEqual(producer.flush(60), 0)

        def read():
            found = kafka.messages(names[0])
            return [int(m.value()) for part in found.values() for m in part]
        self.survives(kafka, write, read)

    def test_opensearch(self):
        search = services.OpenSearch()

        def write(n):
            self.assertEqual(search.call("PUT", "/i/_doc/%d" % n, {"n": n})[0], 201)
        self.survives(search, write, lambda: [d["n"] for d in search.documents("i").values()])


class SharedTest(unittest.TestCase):
    def test_kafka_sasl(self):
        from confluent_kafka import Producer
        kafka = services.shared(services.Kafka)
        topic = kafka.topic("sasl")
        producer = Producer({
            "bootstrap.servers": kafka.sasl, "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN", "sasl.username": kafka.SASL_USER,
            "sasl.password": kafka.SASL_PASSWORD})
        producer.produce(topic, "x")
        self.assertEqual(producer.flush(60), 0)

    def test_postgres_password(self):
        import psycopg2
        pg = services.shared(services.Postgres)
        self.assertIs(pg, services.shared(services.Postgres))
        dbname = pg.database("services")
        self.assertEqual(pg.sql("SELECT 1", dbname=dbname), [(1,)])
        user = {"dbname": dbname, "user": pg.PASSWORD_USER}
        self.assertEqual(pg.sql("SELECT 1", password=pg.PASSWORD, **user), [(1,)])
        with self.assertRaises(psycopg2.OperationalError):
            pg.sql("SELECT 1", password="wrong", **user)

    def test_opensearch_scripts(self):
        search = services.shared(services.OpenSearch)
        index = services.unique("services")
        script = {"source": "ctx._source.v = params.v", "params": {"v": "1"}}
        status, _ = search.call("POST", "/%s/_update/a" % index,
                                {"scripted_upsert": True, "upsert": {}, "script": script})
        self.assertEqual(status, 201)
        self.assertEqual(search.documents(index), {"a": {"v": "1"}})

    def test_dynamodb(self):
        client = services.shared(services.DynamoDB).client()
        self.addCleanup(client.close)
        self.assertIn("TableNames", client.call("ListTables"))


class LeashTest(unittest.TestCase):
    def test_ends_with_its_holder(self):
        child = subprocess.Popen([sys.executable, services.__file__, "--leash", "postgres"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.kill)
        address = child.stdout.readline()
        self.assertRegex(address, r"^export SLIPRING_TEST_POSTGRES='\d+'  # PostgreSQL \d+")
        port = int(address.split("'")[1])
        self.assertEqual(child.stdout.readline(), "# ready\n")
        socket.create_connection(("127.0.0.1", port)).close()
        child.stdin.close()  # as the kernel does when the holder is killed
        self.assertEqual(child.wait(60), 0)
        child.stdout.close()
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


if __name__ == "__main__":
    unittest.main()
