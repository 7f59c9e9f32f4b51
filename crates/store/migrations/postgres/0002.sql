-- Search. All of this is empty until somebody turns search on; then triggers note what was written, and whoever searches
-- adds it to the index first. Triggers also work for programs that do not know of them.

-- What the planner keeps of columns is a copy of their values, which nobody would remove with a text that is purged.
ALTER TABLE turnwise.changes ALTER COLUMN change SET STATISTICS 0;

-- Which conversations need a log.
CREATE INDEX conversations_by_log ON turnwise.conversations (tenant, log);

-- Which conversation a log belongs to, and what a fork has of its original's usage, also after one of the two was
-- written anew: that gives it another log, without the parent of the old one.
ALTER TABLE turnwise.logs
    ADD COLUMN line      bigint, -- the first log of the same conversation, if this is a later one
    ADD COLUMN origin    bigint, -- of a fork that was written anew: the line of its original
    ADD COLUMN inherited text;   -- and what that had spent when it was forked, as a change

-- One row: whether there is an index (0 no, 1 it is being made, 2 yes), and by which version of the words in src/search.
CREATE TABLE turnwise.search (
    single integer PRIMARY KEY CHECK (single = 1),
    state  integer NOT NULL,
    format integer NOT NULL
);
INSERT INTO turnwise.search (single, state, format) VALUES (1, 0, 0);

-- What was written and is to be added: a change, or a conversation that is new, changed or gone.
CREATE TABLE turnwise.search_notes (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   text COLLATE "C" NOT NULL,
    log      bigint,
    position bigint,
    id       text COLLATE "C"
);
CREATE INDEX search_notes_of_conversations ON turnwise.search_notes (number) WHERE id IS NOT NULL;

-- How many items of a tenant were ever added: the newest has this as its row.
CREATE TABLE turnwise.search_tenants (
    tenant text COLLATE "C" PRIMARY KEY,
    items  bigint NOT NULL
);

-- The words of items, made by the program and divided by spaces. One of very many words, for which a tsvector has no
-- room, has `*` instead of all of them, and is looked at in every search.
CREATE TABLE turnwise.search_items (
    tenant   text COLLATE "C" NOT NULL,
    row      bigint NOT NULL,
    log      bigint NOT NULL,
    position bigint NOT NULL,
    words    text COLLATE "C" NOT NULL,
    lexemes  tsvector GENERATED ALWAYS AS (
        array_to_tsvector(CASE WHEN octet_length(words) > 400000 THEN ARRAY['*'] ELSE string_to_array(words, ' ') END)
    ) STORED,
    PRIMARY KEY (tenant, row),
    UNIQUE (tenant, log, position)
);
ALTER TABLE turnwise.search_items ALTER COLUMN words SET STATISTICS 0, ALTER COLUMN lexemes SET STATISTICS 0;
CREATE INDEX search_items_by_word ON turnwise.search_items USING gin (lexemes);

-- The changes that state metadata, of which the last one holds.
CREATE TABLE turnwise.search_states (
    tenant   text COLLATE "C" NOT NULL,
    log      bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, log, position)
);

-- Conversations as they are listed. Of the metadata, each pair is a JSON array.
CREATE TABLE turnwise.search_conversations (
    tenant   text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    used_at  bigint NOT NULL,
    title    text,
    metadata text[] NOT NULL,
    of_server boolean NOT NULL, -- a server's record and no conversation: not listed, and searched by its name only
    PRIMARY KEY (tenant, id)
);
ALTER TABLE turnwise.search_conversations ALTER COLUMN title SET STATISTICS 0, ALTER COLUMN metadata SET STATISTICS 0;
CREATE INDEX search_conversations_by_time ON turnwise.search_conversations (tenant, used_at, id);

CREATE FUNCTION turnwise.search_note_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO turnwise.search_notes (tenant, log, position)
    SELECT tenant, log, position FROM written
    WHERE starts_with(change, '{"item"') OR starts_with(change, '{"metadata"') ORDER BY position;
    RETURN NULL;
END $$;

CREATE FUNCTION turnwise.search_note_conversations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO turnwise.search_notes (tenant, id) SELECT tenant, id FROM touched;
    RETURN NULL;
END $$;

CREATE FUNCTION turnwise.search_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM turnwise.search_items i USING gone g
    WHERE i.tenant = g.tenant AND i.log = g.log AND i.position = g.position;
    DELETE FROM turnwise.search_states s USING gone g
    WHERE s.tenant = g.tenant AND s.log = g.log AND s.position = g.position;
    RETURN NULL;
END $$;
