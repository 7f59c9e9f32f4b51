-- Search. All of this is empty until somebody turns search on; then triggers note what was written,
-- and the writer adds it to the index before it commits.

-- Which conversations need a log.
CREATE INDEX conversations_by_log ON conversations (tenant, log);

-- One row: whether there is an index (0 no, 1 it is being made, 2 yes), and by which version of the
-- words in src/search it was made.
CREATE TABLE search (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    state  INTEGER NOT NULL,
    format INTEGER NOT NULL
) STRICT;
INSERT INTO search (only, state, format) VALUES (1, 0, 0);

-- What was written and is to be added: changes, and conversations that are new, changed or gone.
CREATE TABLE search_new_changes (number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, log INTEGER NOT NULL, position INTEGER NOT NULL) STRICT;
CREATE TABLE search_new (tenant TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;

-- Logs that were there before search was turned on and are not in the index yet.
CREATE TABLE search_old_logs (number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, log INTEGER NOT NULL) STRICT;

-- The rows of a tenant's items, and of its words, are `number << 40` and what is counted here, so that
-- they follow one another and no search comes across those of others.
CREATE TABLE search_tenants (
    number INTEGER PRIMARY KEY,
    tenant TEXT    NOT NULL UNIQUE,
    items  INTEGER NOT NULL,
    words  INTEGER NOT NULL
) STRICT;

-- Which change each item in the index is.
CREATE TABLE search_items (row INTEGER PRIMARY KEY, log INTEGER NOT NULL, position INTEGER NOT NULL) STRICT;
CREATE INDEX search_items_by_log ON search_items (log, position);

-- The words of items. They are made by the program; `ascii` only divides them at the spaces.
CREATE VIRTUAL TABLE search_texts USING fts5 (words, content = '', columnsize = 0, detail = none, tokenize = 'ascii');
INSERT INTO search_texts (search_texts, rank) VALUES ('secure-delete', 1);

-- Each word of a tenant's items once, to find those with a part.
CREATE TABLE search_words (
    row    INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    word   TEXT    NOT NULL,
    UNIQUE (tenant, word)
) STRICT;
CREATE VIRTUAL TABLE search_parts USING fts5 (
    word, content = 'search_words', content_rowid = 'row', columnsize = 0, tokenize = 'trigram case_sensitive 1'
);
INSERT INTO search_parts (search_parts, rank) VALUES ('secure-delete', 1);

-- The changes that state metadata, of which the last one holds.
CREATE TABLE search_states (
    log      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    tenant   TEXT    NOT NULL,
    PRIMARY KEY (log, position)
) STRICT, WITHOUT ROWID;

-- Conversations as they are listed.
CREATE TABLE search_conversations (
    tenant  TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX search_conversations_by_time ON search_conversations (tenant, used_at, id);
CREATE TABLE search_metadata (
    tenant TEXT NOT NULL,
    id     TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (tenant, id, key)
) STRICT, WITHOUT ROWID;
