"""The tables of the jobs' database, as the steps that lead to them.

A step is never changed once it was released: a file remembers by ``user_version`` how many it has seen. Rules that the
program keeps are said here too, for the file outlives it.
"""

from __future__ import annotations

_JOBS_AND_OUTBOX = (
    """
    CREATE TABLE batches (
      id TEXT PRIMARY KEY,
      owner TEXT NOT NULL,
      address TEXT NOT NULL,
      created_at REAL NOT NULL,
      jobs INTEGER NOT NULL,
      open_jobs INTEGER NOT NULL CHECK (open_jobs BETWEEN 0 AND jobs),
      mails INTEGER NOT NULL CHECK (mails >= 0)
    ) STRICT
    """,
    "CREATE INDEX batches_open ON batches (owner) WHERE open_jobs > 0",
    """
    CREATE TABLE jobs (
      id TEXT PRIMARY KEY,
      batch_id TEXT NOT NULL REFERENCES batches,
      owner TEXT NOT NULL,
      number INTEGER NOT NULL CHECK (number >= 1),
      name TEXT NOT NULL,
      input_key TEXT NOT NULL,
      input_bytes INTEGER NOT NULL CHECK (input_bytes >= 0),
      options TEXT NOT NULL CHECK (json_valid(options)),
      created_at REAL NOT NULL,
      updated_at REAL NOT NULL,
      status INTEGER NOT NULL CHECK (status BETWEEN 1 AND 4),
      stage TEXT,
      attempt INTEGER NOT NULL CHECK (attempt >= 0),
      progress REAL NOT NULL,
      remaining_s REAL,
      cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
      error_code TEXT,
      error TEXT,
      outputs TEXT NOT NULL CHECK (json_valid(outputs)),
      facts TEXT NOT NULL CHECK (json_valid(facts)),
      started_at REAL,
      finished_at REAL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX jobs_of_batch ON jobs (batch_id, number)",
    "CREATE INDEX jobs_of_owner ON jobs (owner, created_at DESC, batch_id, number)",
    "CREATE INDEX jobs_by_status ON jobs (status, updated_at)",
    "CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL",
    """
    CREATE TABLE mails (
      id TEXT PRIMARY KEY,
      batch_id TEXT NOT NULL REFERENCES batches ON DELETE CASCADE,
      created_at REAL NOT NULL,
      updated_at REAL NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'sent', 'failed')),
      attempt INTEGER NOT NULL CHECK (attempt >= 0),
      resent INTEGER NOT NULL CHECK (resent IN (0, 1)),
      answer TEXT
    ) STRICT
    """,
    "CREATE INDEX mails_of_batch ON mails (batch_id, created_at)",
    "CREATE INDEX mails_by_state ON mails (state, updated_at)",
    """
    CREATE TABLE audit (
      id INTEGER PRIMARY KEY,
      job_id TEXT NOT NULL REFERENCES jobs ON DELETE CASCADE,
      at REAL NOT NULL,
      by TEXT NOT NULL,
      from_status INTEGER NOT NULL,
      to_status INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX audit_of_job ON audit (job_id)",
)

# A message's lease or delay was asked for at ``asked_at`` and ends at ``visible_at``: with both at hand one can tell
# that the clock was set back since. ``receipt`` names the lease, if the message was ever under one and not given back,
# ``holder`` the process that has it.
# AUTOINCREMENT: the number of a deleted message never comes back for another one.
_QUEUES = (
    """
    CREATE TABLE messages (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      queue TEXT NOT NULL,
      body TEXT NOT NULL,
      asked_at REAL NOT NULL,
      visible_at REAL NOT NULL CHECK (visible_at >= asked_at),
      deliveries INTEGER NOT NULL DEFAULT 0 CHECK (deliveries >= 0),
      receipt TEXT,
      holder TEXT,
      died_at REAL CHECK (died_at IS NULL OR receipt IS NULL)
    ) STRICT
    """,
    "CREATE INDEX messages_alive ON messages (queue, visible_at) WHERE died_at IS NULL",
    "CREATE INDEX messages_dead ON messages (queue, died_at) WHERE died_at IS NOT NULL",
)

_RECORDS = (
    """
    CREATE TABLE records (
      key TEXT PRIMARY KEY,
      value TEXT NOT NULL,
      expires_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX records_over ON records (expires_at)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = ((*_JOBS_AND_OUTBOX, *_QUEUES, *_RECORDS),)
