"""MCP for PostgreSQL: queries that read. A workload of its own.

POSTGRES_DSN_FILE holds `postgresql://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full`. What a query can read is decided by the rights of
its user; that it only reads, by a cursor in a READ ONLY transaction: a cursor takes one query, and none that writes.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import asyncpg
from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from pydantic import Field

Query = Annotated[str, Field(min_length=1, max_length=20_000, description="one SELECT, WITH, VALUES or TABLE")]
Rows = Annotated[int, Field(ge=1, le=500)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_$]{0,62}$")]
SECONDS, CELL, WHOLE = 10, 4_000, 400_000
# Before the query's own text, so that no setting can be changed back: after a first query a transaction stays what it is.
LIMITS = """SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', '1000', true),
    set_config('idle_in_transaction_session_timeout', '30000', true)"""
# Each reads or writes the server's files, starts programs there, or may become whoever it likes.
TOO_MUCH = """SELECT current_setting('is_superuser')::bool OR EXISTS (SELECT FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')
    AND rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_signal_backend'))"""
COLUMNS = """SELECT column_name, data_type, is_nullable FROM information_schema.columns
    WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position LIMIT 500"""
TABLES = """SELECT table_schema, table_name, table_type FROM information_schema.tables
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2 LIMIT 500"""


class Database:
    """Where it is. Each query has a connection and a transaction of its own, and a few at once have one."""

    def __init__(self, dsn: str, seconds: float = SECONDS):
        self.dsn, self.seconds, self.room = dsn, seconds, asyncio.Semaphore(4)

    async def read(self, text: str, *values, rows: int = 500, free: bool = False) -> dict:
        async with self.room:
            try:
                return await asyncio.wait_for(self._read(text, values, rows, free), self.seconds + 5)
            except asyncpg.PostgresError as error:
                raise ToolError(f"{error.sqlstate}: {error.message}"[:500]) from error
            except ToolError:
                raise
            except Exception as error:
                # Its words may hold a part of the address, and so of the password; what is raised from here is shown to the agent.
                raise ToolError(f"no answer: {type(error).__name__}") from None

    async def _read(self, text: str, values: tuple, rows: int, free: bool) -> dict:
        settings = {"default_transaction_read_only": "on", "application_name": "stubgate-bridge"}
        connection = await asyncpg.connect(self.dsn, timeout=5, server_settings=settings, statement_cache_size=0)
        try:
            if await connection.fetchval(TOO_MUCH):
                raise ToolError("the bridge's user may do too much on the server; give it one that only reads")
            # Never committed: some functions write even in a transaction that only reads (large objects, before 16).
            await connection.transaction(readonly=True).start()
            await connection.fetch(LIMITS, str(int(self.seconds * 1000)))
            if not free:
                return table(await connection.fetch(text, *values), rows)
            # Prepared by itself, and so one whole statement, which can't end the brackets that it is then put into.
            text = text.rstrip().removesuffix(";")
            names = [column.name for column in (await connection.prepare(text)).get_attributes()]
            # As text, and cut where it is: a cell may have a gigabyte.
            cells = ", ".join(f"left(c{at}::text, {CELL}) AS c{at}" for at in range(len(names)))
            given = ", ".join(f"c{at}" for at in range(len(names)))
            cut = f"SELECT {cells} FROM ({text}\n) AS found({given})"
            await connection.fetch(f"DECLARE found NO SCROLL CURSOR FOR {cut}")
            return {**table(await connection.fetch(f"FETCH FORWARD {rows + 1} FROM found"), rows), "columns": names}
        finally:
            connection.terminate()


def table(found: list, rows: int) -> dict:
    """Rows as they are shown: cut to so many, and to so much text."""
    shown, length, cut = [], 0, len(found) > rows
    for record in found[:rows]:
        row = [None if cell is None else str(cell)[:CELL] for cell in record.values()]
        length += sum(len(cell or "") for cell in row)
        if length > WHOLE:
            cut = True
            break
        shown.append(row)
    return {"columns": list(found[0].keys()) if found else [], "rows": shown, "more": cut}


def build(database: Database, port: int = 0) -> FastMCP:
    mcp = FastMCP("postgres", log_level="WARNING", host="127.0.0.1", port=port, stateless_http=True)

    @mcp.tool()
    async def query(sql: Query, rows: Rows = 100) -> dict:
        """Rows of one query that reads. `more` says that there are others."""
        return await database.read(sql, rows=rows, free=True)

    @mcp.tool()
    async def tables() -> dict:
        """Tables and views."""
        return await database.read(TABLES)

    @mcp.tool()
    async def columns(table: Name, schema: Name = "public") -> dict:
        """Columns of a table."""
        return await database.read(COLUMNS, schema, table)

    return mcp


if __name__ == "__main__":
    where = Path(os.environ["POSTGRES_DSN_FILE"]).read_text().strip()
    build(Database(where), int(os.environ["BRIDGE_PORT"])).run("streamable-http")
