"""Against a real PostgreSQL."""

import asyncio
import glob
import os
import pwd
import resource
import subprocess
import tempfile
import unittest

from testing import load, use

server = load("postgres")
BIN = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
SETUP = """
CREATE TABLE tickets (id int PRIMARY KEY, title text);
INSERT INTO tickets SELECT n, 'ticket ' || n FROM generate_series(1, 1000) n;
CREATE SEQUENCE numbers; CREATE TABLE hidden (secret text);
CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO tickets VALUES (0, ''x'') RETURNING id';
CREATE ROLE reader LOGIN PASSWORD 'right'; GRANT SELECT ON tickets TO reader;
GRANT INSERT, UPDATE, DELETE, TRUNCATE ON tickets TO reader; GRANT ALL ON SEQUENCE numbers TO reader;
CREATE ROLE files LOGIN PASSWORD 'right' IN ROLE pg_read_server_files;
"""


@unittest.skipUnless(BIN, "PostgreSQL is not installed")
class Postgres(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        # It refuses to run as root.
        user = {"user": "postgres"} if os.geteuid() == 0 else {}
        if user:
            os.chown(folder.name, pwd.getpwnam("postgres").pw_uid, -1)
        run = lambda *command, **more: subprocess.run(  # noqa: E731
            [f"{BIN[-1]}/{command[0]}", *command[1:]], check=True, stdout=subprocess.DEVNULL, cwd="/", **user, **more
        )
        data = f"{folder.name}/data"
        password = f"{folder.name}/password"
        with open(password, "w") as file:
            file.write("right\n")
        arguments = ["-U", "admin", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync"]
        run("initdb", "-D", data, *arguments, stderr=subprocess.DEVNULL)
        options = f"-c listen_addresses= -c unix_socket_directories={folder.name} -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-l", f"{folder.name}/log", "-o", options, "start")
        cls.addClassCleanup(run, "pg_ctl", "-D", data, "-m", "immediate", "stop")
        cls.dsn = staticmethod(lambda name: f"postgresql://{name}:right@/postgres?host={folder.name}")
        run("psql", "-q", "-v", "ON_ERROR_STOP=1", cls.dsn("admin"), input=SETUP.encode())

    def setUp(self):
        self.mcp = server.build(server.Database(self.dsn("reader"), 2))

    def use(self, tool, **arguments):
        return asyncio.run(use(self.mcp, tool, **arguments))

    def refuses(self, sql, why=""):
        with self.assertRaisesRegex(Exception, why, msg=sql):
            self.use("query", sql=sql)

    def test_rows_are_read_and_cut(self):
        found = self.use("query", sql="SELECT id, title, NULL AS n FROM tickets ORDER BY id", rows=2)
        rows = [["1", "ticket 1", None], ["2", "ticket 2", None]]
        self.assertEqual(found, {"columns": ["id", "title", "n"], "rows": rows, "more": True})
        found = self.use("query", sql="WITH a AS (SELECT 1 AS x) SELECT * FROM a -- all of it")
        self.assertEqual((found["rows"], found["more"]), ([["1"]], False))
        wide = self.use("query", sql="SELECT repeat('x', 100000) AS x FROM tickets", rows=500)
        self.assertTrue(wide["more"] and len(wide["rows"][0][0]) == server.CELL and len(wide["rows"]) == 100)

    def test_tables_and_columns_are_told(self):
        self.assertEqual(self.use("tables")["rows"], [["public", "tickets", "BASE TABLE"]])
        columns = self.use("columns", table="tickets")["rows"]
        self.assertEqual(columns, [["id", "integer", "NO"], ["title", "text", "YES"]])
        with self.assertRaises(Exception):
            self.use("columns", table="tickets; DROP TABLE tickets")

    def test_nothing_is_written_however_it_is_asked(self):
        for sql in [
            "INSERT INTO tickets VALUES (0, 'x')",
            "DELETE FROM tickets",
            "TRUNCATE tickets",
            "WITH gone AS (DELETE FROM tickets RETURNING *) SELECT * FROM gone",
            "SELECT * FROM tickets FOR UPDATE",
            "SELECT * INTO other FROM tickets",
            "SELECT writes()",
            "SELECT nextval('numbers')",
            "SELECT 1; DELETE FROM tickets",
            "SELECT 1; COMMIT; DELETE FROM tickets",
            "COMMIT",
            "SET TRANSACTION READ WRITE",
            "DO $$ BEGIN DELETE FROM tickets; END $$",
            "COPY tickets TO PROGRAM 'id'",
            "SELECT set_config('transaction_read_only', 'off', true), writes()",
            "SELECT set_config('transaction_read_only', 'off', false)",
            "SELECT * FROM hidden",
            "SELECT pg_read_file('/etc/passwd')",
        ]:
            self.refuses(sql)
        self.assertEqual(self.use("query", sql="SELECT count(*) FROM tickets")["rows"], [["1000"]])

    def test_what_a_function_writes_all_the_same_does_not_stay(self):
        try:
            self.use("query", sql="SELECT lo_from_bytea(0, 'x')")
        except Exception as error:
            self.assertIn("25006", str(error))
        self.assertEqual(self.use("query", sql="SELECT count(*) FROM pg_largeobject_metadata")["rows"], [["0"]])

    def test_a_query_ends_in_time_and_can_not_take_more_of_it(self):
        self.refuses("SELECT pg_sleep(60)", "57014")
        self.refuses("SELECT set_config('statement_timeout', '0', true), pg_sleep(60)", "57014")

    def test_a_user_who_may_too_much_is_not_served(self):
        for user in ["admin", "files"]:
            self.mcp = server.build(server.Database(self.dsn(user), 2))
            self.refuses("SELECT 1", "too much")

    def test_no_server_is_said_without_the_password(self):
        self.mcp = server.build(server.Database("postgresql://reader:secret@127.0.0.1:1/postgres"))
        with self.assertRaises(Exception) as refused:
            self.use("tables")
        self.assertIn("no answer", str(refused.exception))
        self.assertNotIn("secret", str(refused.exception))

    def test_an_address_that_is_wrong_is_said_without_the_password(self):
        for dsn in ["secret", "postgresql://reader:secret#1@h/d", "postgresql://reader:secret/1@h/d", "postgresql://r:[secret@h/d"]:
            self.mcp = server.build(server.Database(dsn))
            with self.assertRaisesRegex(Exception, "no answer") as refused:
                self.use("tables")
            self.assertNotIn("secret", str(refused.exception), dsn)

    def test_a_long_cell_is_cut_before_it_is_sent(self):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = self.use("query", sql="SELECT repeat('x', 100000000) AS x, true AS x, NULL;")
        self.assertEqual(found, {"columns": ["x", "x", "?column?"], "rows": [["x" * server.CELL, "true", None]], "more": False})
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 20_000, "KiB")

    def test_no_query_gets_out_of_its_brackets(self):
        for sql in ["SELECT 1) AS q(c), (SELECT 2", "SELECT 1) AS q(c) --", "SELECT 1 /*", "SELECT 1; SELECT 2", "SELECT '"]:
            self.refuses(sql)


if __name__ == "__main__":
    unittest.main()
