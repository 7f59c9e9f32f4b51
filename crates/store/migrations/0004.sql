-- When items were recorded. An index of before is of another format, and is removed when the database is opened.
DROP TABLE search_items;
CREATE TABLE search_items (
    row      INTEGER PRIMARY KEY,
    log      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE INDEX search_items_by_log ON search_items (log, position);

-- Between which times the items of each block of rows were recorded: a search within times looks at the blocks that may
-- have some. A block is the tenant's number and what its items count up to, divided by 512.
CREATE TABLE search_times (
    tenant INTEGER NOT NULL,
    block  INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    PRIMARY KEY (tenant, block)
) STRICT, WITHOUT ROWID;

-- Which conversations have a value.
CREATE INDEX search_metadata_by_value ON search_metadata (tenant, key, value, id);
