-- Every row belongs to one tenant and one conversation, and no row is ever found by a number that
-- counts over all of them, so that the tables can be divided by a hash of (tenant, log).

-- The conversations that can be loaded.
CREATE TABLE conversations (
    tenant     TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    log        INTEGER NOT NULL, -- where its changes are; another one after each time it is written anew
    last       INTEGER NOT NULL, -- the position of its last change; with `log` this is its revision
    bytes      INTEGER NOT NULL, -- the text of its changes
    created_at INTEGER NOT NULL, -- milliseconds since 1970, as all times here
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- Those that were deleted and can be restored. Several may have had one id.
CREATE TABLE deleted (
    tenant     TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    log        INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id, log)
) STRICT, WITHOUT ROWID;
CREATE INDEX deleted_by_time ON deleted (tenant, deleted_at);

-- A log is a list of changes. That of a fork continues another one after a position.
CREATE TABLE logs (
    tenant TEXT    NOT NULL,
    log    INTEGER NOT NULL, -- a random number
    parent INTEGER,          -- the log that it continues
    at     INTEGER NOT NULL, -- the last position of the parent that belongs to it, or 0
    owned  INTEGER NOT NULL, -- whether a conversation, deleted or not, has it; else only forks need it
    PRIMARY KEY (tenant, log)
) STRICT, WITHOUT ROWID;
CREATE INDEX logs_by_parent ON logs (tenant, parent, at) WHERE parent IS NOT NULL;

-- The changes, as JSON. Positions count from 1; those of a fork go on after `at`.
CREATE TABLE changes (
    tenant   TEXT    NOT NULL,
    log      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    change   TEXT    NOT NULL,
    PRIMARY KEY (tenant, log, position)
) STRICT, WITHOUT ROWID;

-- One row: how often text was removed, and how often when the write-ahead file was last emptied of
-- it.
CREATE TABLE upkeep (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    removed INTEGER NOT NULL,
    cleared INTEGER NOT NULL
) STRICT;
INSERT INTO upkeep (only, removed, cleared) VALUES (1, 0, 0);
