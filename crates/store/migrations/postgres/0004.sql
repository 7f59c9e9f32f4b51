-- What is removed from conversations is removed from how they are listed in the same transaction, too: the title and the
-- metadata of each that was noted, by this transaction or before. The next search adds those again that are still there.
CREATE OR REPLACE FUNCTION turnwise.search_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM turnwise.search_items i USING gone g
    WHERE i.tenant = g.tenant AND i.log = g.log AND i.position = g.position;
    DELETE FROM turnwise.search_states s USING gone g
    WHERE s.tenant = g.tenant AND s.log = g.log AND s.position = g.position;
    -- In the order in which they are added, so that of two none has what the other waits for.
    DELETE FROM turnwise.search_conversations WHERE (tenant, id) IN (
        SELECT s.tenant, s.id FROM turnwise.search_conversations s
        WHERE (s.tenant, s.id) IN (
            SELECT n.tenant, n.id FROM turnwise.search_notes n
            WHERE n.id IS NOT NULL AND n.tenant IN (SELECT tenant FROM gone))
        ORDER BY s.tenant, s.id FOR UPDATE);
    RETURN NULL;
END $$;
