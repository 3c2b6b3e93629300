-- Every statement of the SQLite store, by name. A block starts at its "name:" comment and ends at the next; {word}
-- stands for the "fragment:" of that name.

-- fragment: living
m.state = 'active' AND (m.expires_at IS NULL OR m.expires_at > :now)

-- fragment: in_filter
(:agent IS NULL OR m.agent IS :agent)
    AND (:since IS NULL OR m.updated_at >= :since) AND (:until IS NULL OR m.updated_at < :until)
    AND (:topics IS NULL OR json_valid(m.topics) AND EXISTS (
        SELECT 1 FROM json_each(m.topics) AS t WHERE t.value IN (SELECT value FROM json_each(:topics))))

-- fragment: own_rows
u.number << 32 AND u.number << 32 | 0xffffffff

-- fragment: change
c.seq AS change_seq, c.id AS change_id, c.at AS change_at, c.tool, c.client, c.client_version, c.system, c.summary,
    c.undoes, c.undone_by

-- fragment: revision_and_change
r.*, {change}
FROM revisions AS r JOIN changes AS c ON c.seq = r.change

-- fragment: change_of_id
(SELECT seq FROM changes WHERE user = :number AND id = :change_id)

-- name: begin
BEGIN IMMEDIATE

-- name: turn
-- What a writer must know before it writes: may it, as which user, and whether there is something to sweep.
SELECT (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'min_writer') AS min_writer,
    (SELECT value FROM settings WHERE name = 'search_languages') AS languages,
    (SELECT value FROM settings WHERE name = 'embedding_model') AS model, number, last_seq,
    (SELECT min(expires_at) FROM memories WHERE user = users.number AND expires_at IS NOT NULL) AS first_expiry
FROM (SELECT 1) LEFT JOIN users ON users.name = :user

-- name: add_user
INSERT INTO users (name) VALUES (:user) RETURNING number

-- name: add_change
INSERT INTO changes (user, id, at, tool, client, client_version, system, summary, undoes)
VALUES (:number, :id, :at, :tool, :client, :client_version, :system, :summary, :undoes)
RETURNING seq

-- name: mark_change
UPDATE changes SET undone_by = :undone_by WHERE seq = :seq AND user = :number

-- name: undoes_of
SELECT undoes FROM changes WHERE seq = :seq AND user = :number

-- name: change_by_id
SELECT {change} FROM changes AS c WHERE c.user = :number AND c.id = :id

-- name: latest_undoable
SELECT {change} FROM changes AS c
WHERE c.user = :number AND c.undone_by IS NULL AND c.undoes IS NULL AND NOT c.system ORDER BY c.seq DESC LIMIT 1

-- name: take_step
INSERT INTO steps (row_id, user, id, content, key, topics, pinned, metadata, agent, team, session_id, source, state,
    created_at, updated_at, worded_at, expires_at, version, seq, digest, fingerprint, terms, term_count, revision, change,
    operation, reason, model, scale, vector)
VALUES (:row_id, :number, :id, :content, :key, :topics, :pinned, :metadata, :agent, :team, :session_id, :source, :state,
    :created_at, :updated_at, :worded_at, :expires_at, :version, :seq, :digest, :fingerprint, :terms, :term_count,
    :revision, {change_of_id}, :operation, :reason, :model, :scale, :vector)

-- name: add_past_wording
INSERT INTO past_wordings (row_id, memory, superseded_by, held_from, held_until, fingerprint, terms, term_count)
VALUES (:revision, :row_id, {change_of_id}, :held_from, :held_until, :fingerprint, :terms, :term_count)

-- name: memories_by_ids
SELECT * FROM memories WHERE user = :number AND id IN (SELECT value FROM json_each(:ids))

-- name: twins
SELECT * FROM memories WHERE user = :number AND fingerprint = :fingerprint
UNION
SELECT * FROM memories WHERE user = :number AND key = :key

-- name: expired
SELECT * FROM memories WHERE user = :number AND expires_at <= :now ORDER BY expires_at, row_id LIMIT :limit

-- name: revisions_of_change
SELECT {revision_and_change} WHERE r.change = :change AND c.user = :number ORDER BY r.row_id

-- name: history
SELECT {revision_and_change} WHERE r.memory = :memory ORDER BY r.row_id

-- name: revisions_by_id
-- A deleted memory and a later one with the same id are told apart by `memory`: the newest counts.
SELECT {revision_and_change} JOIN users AS u ON u.number = c.user
WHERE u.name = :user AND r.memory = (
    SELECT memory FROM revisions WHERE id = :id AND row_id BETWEEN {own_rows} ORDER BY row_id DESC LIMIT 1)
ORDER BY r.row_id

-- name: memory
SELECT m.* FROM users AS u JOIN memories AS m ON m.user = u.number
WHERE u.name = :user AND m.id = :id AND {living}

-- name: memory_by_key
SELECT m.* FROM users AS u JOIN memories AS m ON m.user = u.number
WHERE u.name = :user AND m.key = :key AND {living}

-- name: living
SELECT m.* FROM users AS u
JOIN json_each(:rows) AS j ON j.value BETWEEN 0 AND 0xffffffff
JOIN memories AS m ON m.row_id = (u.number << 32 | j.value)
WHERE u.name = :user AND {living}

-- name: page
SELECT m.* FROM users AS u
JOIN memories AS m ON m.row_id BETWEEN u.number << 32 AND (u.number << 32) + :before - 1
WHERE u.name = :user AND {living}
    AND {in_filter}
ORDER BY m.row_id DESC LIMIT :limit

-- name: count
SELECT count(*) AS total FROM users AS u
JOIN memories AS m ON m.row_id BETWEEN {own_rows}
WHERE u.name = :user AND {living}
    AND {in_filter}

-- name: postings
-- Each term is looked up as the index holds it, marked with the user's number, so that a lookup meets no other user's
-- postings. A term's postings come as one text: a Python object for each would cost far more.
-- Without any term the user's row comes alone.
SELECT u.number, u.last_seq, u.made_up, u.vector_seq, iif(j.value IS NULL, NULL, (
    SELECT json_group_array(rowid & 0xffffffff) FROM (
        SELECT rowid FROM memory_index
        WHERE memory_index MATCH '"' || u.number || 'x' || j.value || '"' ORDER BY rowid DESC LIMIT :depth))) AS postings
FROM users AS u LEFT JOIN json_each(:terms) AS j
WHERE u.name = :user

-- name: vocabulary
-- The letter after x is y: the user's terms are one range of the index. Marks of repetition are no terms.
SELECT u.last_seq, json_group_array(substr(term, length(u.number) + 2)) AS terms
FROM users AS u CROSS JOIN memory_terms ON term > u.number || 'x' AND term < u.number || 'y'
WHERE u.name = :user AND substr(term, -1) <> '²'

-- fragment: indexed
m.row_id IS NOT NULL AND m.state = 'active' AS present, m.term_count, m.updated_at, m.expires_at, v.scale, v.vector

-- name: indexed_rows
-- What a search must know of each memory beside its terms, in pieces.
SELECT m.row_id & 0xffffffff AS row, {indexed}
FROM memories AS m INDEXED BY memories_for_search
LEFT JOIN vectors AS v ON v.row_id = m.row_id AND v.model = :model
WHERE m.row_id > :after AND m.row_id <= :end ORDER BY m.row_id LIMIT :limit

-- name: indexed_changes
-- The same of the memories that were written after one sequence and up to another, or whose vector was made up for.
SELECT w.memory & 0xffffffff AS row, {indexed}
FROM (
    SELECT memory FROM revisions WHERE row_id > :after AND row_id <= :end
    UNION
    SELECT row_id FROM vectors WHERE row_id BETWEEN :first AND :last AND made_up > 0 AND made_up > :made_up) AS w
LEFT JOIN memories AS m ON m.row_id = w.memory
LEFT JOIN vectors AS v ON v.row_id = m.row_id AND v.model = :model
ORDER BY w.memory

-- name: filtered_rows
SELECT json_group_array(m.row_id & 0xffffffff) AS found FROM users AS u
JOIN memories AS m INDEXED BY memories_for_search ON m.row_id BETWEEN {own_rows}
WHERE u.name = :user AND {in_filter}

-- name: past_candidates
SELECT j.key AS term, f.rowid & 0xffffffff AS seq, p.term_count, m.updated_at, ({in_filter}) AS kept
FROM users AS u CROSS JOIN json_each(:terms) AS j
CROSS JOIN past_index AS f ON f.past_index MATCH '"' || u.number || 'x' || j.value || '"'
CROSS JOIN past_wordings AS p ON p.row_id = f.rowid
CROSS JOIN changes AS c ON c.seq = p.superseded_by AND c.undone_by IS NULL
CROSS JOIN memories AS m ON m.row_id = p.memory AND m.fingerprint <> p.fingerprint
WHERE u.name = :user AND {living}

-- name: unembedded
-- The newest memories whose current wording has no vector of this model, as long as it is the file's.
SELECT m.row_id & 0xffffffff AS row, m.version, m.content
FROM users AS u JOIN settings AS s ON s.name = 'embedding_model' AND s.value = :model
JOIN memories AS m ON m.row_id BETWEEN u.number << 32 AND (u.number << 32) + :before - 1
LEFT JOIN vectors AS v ON v.row_id = m.row_id AND v.model = :model
WHERE u.name = :user AND v.row_id IS NULL ORDER BY m.row_id DESC LIMIT :limit

-- name: make_up
UPDATE users SET made_up = made_up + 1 WHERE number = :number RETURNING made_up

-- name: add_vector
INSERT INTO vectors (row_id, version, model, scale, vector, made_up)
SELECT m.row_id, m.version, :model, :scale, :vector, :made_up FROM memories AS m
WHERE m.row_id = (:number << 32 | :row) AND m.version = :version
ON CONFLICT (row_id) DO UPDATE SET version = excluded.version, model = excluded.model, scale = excluded.scale,
    vector = excluded.vector, made_up = excluded.made_up

-- name: index_changed
UPDATE users SET vector_seq = vector_seq + 1 WHERE number = :number

-- name: holdings
SELECT u.name AS user, u.last_seq AS writes,
    (SELECT count(*) FROM memories AS m INDEXED BY memories_for_search WHERE m.row_id BETWEEN {own_rows}) AS memories,
    (SELECT count(*) FROM past_wordings AS p WHERE p.row_id BETWEEN {own_rows}) AS wordings,
    (SELECT count(*) FROM memories AS m INDEXED BY memories_for_search
        LEFT JOIN vectors AS v ON v.row_id = m.row_id AND v.model = :model
        WHERE m.row_id BETWEEN {own_rows} AND v.row_id IS NULL) AS lacking
FROM users AS u ORDER BY u.number

-- fragment: written
BETWEEN (u.number << 32 | :first) AND (u.number << 32 | :last)

-- name: memories_written
SELECT m.* FROM users AS u JOIN memories AS m ON m.row_id {written} WHERE u.name = :user ORDER BY m.row_id

-- name: wordings_written
SELECT r.* FROM users AS u JOIN past_wordings AS p ON p.row_id {written} JOIN revisions AS r ON r.row_id = p.row_id
WHERE u.name = :user ORDER BY p.row_id

-- name: reindex_memories
-- :indexed lists [row_id, version, terms, term_count]; what was written since it was made is as it should be.
UPDATE memories SET terms = j.value ->> 2, term_count = j.value ->> 3
FROM json_each(:indexed) AS j
WHERE row_id = j.value ->> 0 AND version = j.value ->> 1 AND (terms <> j.value ->> 2 OR term_count <> j.value ->> 3)
RETURNING row_id

-- name: reindex_wordings
UPDATE past_wordings SET terms = j.value ->> 2, term_count = j.value ->> 3
FROM json_each(:indexed) AS j
WHERE row_id = j.value ->> 0 AND (terms <> j.value ->> 2 OR term_count <> j.value ->> 3)
RETURNING row_id

-- name: remove_misfits
-- Vectors of another length than the model's; without a model, all.
DELETE FROM vectors
WHERE row_id BETWEEN (:number << 32 | :first) AND (:number << 32 | :last)
    AND (:dimensions = 0 OR model = :model AND length(vector) <> :dimensions)
RETURNING row_id

-- name: settings
SELECT name, value FROM settings

-- name: set_setting
UPDATE settings SET value = :value WHERE name = :name

-- name: past
SELECT r.*, {change}, p.held_from, p.held_until
FROM users AS u
JOIN json_each(:seqs) AS j ON j.value BETWEEN 0 AND 0xffffffff
JOIN past_wordings AS p ON p.row_id = (u.number << 32 | j.value)
JOIN revisions AS r ON r.row_id = p.row_id
JOIN changes AS c ON c.seq = p.superseded_by AND c.undone_by IS NULL
JOIN memories AS m ON m.row_id = p.memory AND m.fingerprint <> p.fingerprint
WHERE u.name = :user

-- name: attach_copy
ATTACH DATABASE :uri AS copy KEY :key

-- name: export_copy
SELECT sqlcipher_export('copy')

-- name: definitions
SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name

-- name: stored_tables
-- Those that hold rows themselves; a virtual table keeps its own in others.
SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 ORDER BY name

-- name: every_row
-- :table is replaced by the quoted name of a table; a name cannot be a parameter.
SELECT * FROM :table

-- name: everything_counted
SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM memories), (SELECT count(*) FROM revisions)

-- name: named_folders
SELECT path FROM backup_folders
