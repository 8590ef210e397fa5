"""Alembic's entry: runs the migrations on the connection that it is given."""

from alembic import context
from sqlalchemy import MetaData

from flask_outbox.outbox.ddl import add_tables
from flask_outbox.outbox.schema import VERSION_TABLE

tables: MetaData = MetaData()
add_tables(tables)
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
