-- As in SQLite's 0001.sql: every row belongs to one tenant and one conversation, and no row is ever found by a number
-- that counts over all of them, so that the tables can be divided by a hash of (tenant, log). Texts that are keys are
-- compared by their bytes.

-- The conversations that can be loaded. A turn changes their row, so pages have room for that.
CREATE TABLE turnwise.conversations (
    tenant     text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    log        bigint NOT NULL, -- where its changes are; another one after each time it is written anew
    last       bigint NOT NULL, -- the position of its last change; with `log` this is its revision
    bytes      bigint NOT NULL, -- the text of its changes
    created_at bigint NOT NULL, -- milliseconds since 1970, as all times here
    changed_at bigint NOT NULL,
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 70);

-- Those that were deleted and can be restored. Several may have had one id.
CREATE TABLE turnwise.deleted (
    tenant     text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    log        bigint NOT NULL,
    last       bigint NOT NULL,
    bytes      bigint NOT NULL,
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    deleted_at bigint NOT NULL,
    PRIMARY KEY (tenant, id, log)
);
CREATE INDEX deleted_by_time ON turnwise.deleted (tenant, deleted_at);

-- A log is a list of changes. That of a fork continues another one after a position.
CREATE TABLE turnwise.logs (
    tenant text COLLATE "C" NOT NULL,
    log    bigint  NOT NULL, -- a random number
    parent bigint,           -- the log that it continues
    at     bigint  NOT NULL, -- the last position of the parent that belongs to it, or 0
    owned  boolean NOT NULL, -- whether a conversation, deleted or not, has it; else only forks need it
    PRIMARY KEY (tenant, log)
);
CREATE INDEX logs_by_parent ON turnwise.logs (tenant, parent, at) WHERE parent IS NOT NULL;

-- The changes, as JSON. Positions count from 1; those of a fork go on after `at`.
CREATE TABLE turnwise.changes (
    tenant   text COLLATE "C" NOT NULL,
    log      bigint NOT NULL,
    position bigint NOT NULL,
    change   text   NOT NULL,
    PRIMARY KEY (tenant, log, position)
);
