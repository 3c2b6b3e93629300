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
    c.undoes, c.undone_by, c.pruned

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
WHERE c.user = :number AND c.undone_by IS NULL AND c.undoes IS NULL AND NOT c.system
    AND (NOT c.pruned OR EXISTS (SELECT 1 FROM revisions AS r WHERE r.change = c.seq))
ORDER BY c.seq DESC LIMIT 1

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

-- fragment: cleared
m.row_id BETWEEN (:number << 32 | :after) + 1 AND (:number << 32 | 0xffffffff) AND {living}

-- name: cleared
SELECT m.* FROM memories AS m WHERE {cleared} ORDER BY m.row_id LIMIT :limit

-- name: clear_revisions
-- What a step "delete" writes, for all memories at once. :digests has 16 bytes for each.
INSERT INTO revisions (row_id, memory, change, operation, reason, id, content, key, topics, pinned, metadata, agent,
    team, session_id, source, state, created_at, updated_at, worded_at, expires_at, version, digest)
SELECT (:number << 32) + :last_seq + row_number() OVER (ORDER BY m.row_id), m.row_id, {change_of_id}, 'delete', NULL,
    m.id, m.content, m.key, m.topics, m.pinned, m.metadata, m.agent, m.team, m.session_id, m.source, m.state,
    m.created_at, :now, m.worded_at, m.expires_at, m.version + 1,
    substr(:digests, 16 * row_number() OVER (ORDER BY m.row_id) - 15, 16)
FROM memories AS m WHERE {cleared} ORDER BY m.row_id

-- name: clear_memories
DELETE FROM memories WHERE row_id IN (SELECT m.row_id FROM memories AS m WHERE {cleared})

-- fragment: before_deletion
-- The version that a memory had before the revision `r`.
p.row_id = (SELECT e.row_id FROM revisions AS e WHERE e.memory = r.memory AND e.row_id < r.row_id
    ORDER BY e.row_id DESC LIMIT 1)

-- name: mere_deletions
SELECT iif(count(*) = sum(r.operation = 'delete' AND r.memory >> 32 = :number AND r.row_id >> 32 = :number
        AND typeof(r.version) = 'integer' AND NOT EXISTS (SELECT 1 FROM memories AS m WHERE m.row_id = r.memory)
        AND NOT EXISTS (SELECT 1 FROM revisions AS n WHERE n.memory = r.memory AND n.row_id > r.row_id)
        AND EXISTS (SELECT 1 FROM revisions AS p
            WHERE {before_deletion} AND p.operation IN ('add', 'update', 'restore'))), count(*), 0) AS count
FROM revisions AS r WHERE r.change = :undone

-- name: deletions
SELECT count(*) AS count FROM revisions WHERE change = :undone

-- name: lost
SELECT p.*, r.row_id AS deletion, r.version AS last_version
FROM revisions AS r CROSS JOIN revisions AS p ON {before_deletion}
WHERE r.change = :undone AND r.row_id > (:number << 32 | :after) ORDER BY r.row_id LIMIT :limit

-- name: bring_back
-- Many at once: the index is written to at every statement. :back lists [row_id of the revision,
-- version, seq, terms, term_count]; :digests and :fingerprints have 16 bytes for each.
INSERT INTO memories (row_id, user, id, content, key, topics, pinned, metadata, agent, team, session_id, source, state,
    created_at, updated_at, worded_at, expires_at, version, seq, digest, fingerprint, terms, term_count)
SELECT p.memory, p.memory >> 32, p.id, p.content, p.key, p.topics, p.pinned, p.metadata, p.agent, p.team, p.session_id,
    p.source, p.state, p.created_at, :now, p.worded_at, p.expires_at, j.value ->> 1, j.value ->> 2,
    substr(:digests, 1 + 16 * j.key, 16), substr(:fingerprints, 1 + 16 * j.key, 16), j.value ->> 3, j.value ->> 4
FROM json_each(:back) AS j CROSS JOIN revisions AS p ON p.row_id = j.value ->> 0

-- name: bring_back_revisions
-- What a step "restore" writes, for all at once: the one that was deleted last comes first.
INSERT INTO revisions (row_id, memory, change, operation, reason, id, content, key, topics, pinned, metadata, agent,
    team, session_id, source, state, created_at, updated_at, worded_at, expires_at, version, digest)
SELECT :number << 32 | m.seq, m.row_id, {change_of_id}, 'restore', :reason, m.id, m.content, m.key, m.topics, m.pinned,
    m.metadata, m.agent, m.team, m.session_id, m.source, m.state, m.created_at, m.updated_at, m.worded_at, m.expires_at,
    m.version, m.digest
FROM revisions AS r CROSS JOIN memories AS m ON m.row_id = r.memory
WHERE r.change = :undone ORDER BY r.row_id DESC

-- name: bring_changes
-- Those of versions that come from elsewhere: no undo takes them back. :changes lists [id, at, tool, client,
-- client_version, summary].
INSERT INTO changes (user, id, at, tool, client, client_version, system, summary)
SELECT :number, j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, 1, j.value ->> 5
FROM json_each(:changes) AS j ORDER BY j.key
RETURNING seq, id

-- name: bring_undone
-- :undone lists [seq, seq of the change that undid it].
UPDATE changes SET undone_by = j.value ->> 1 FROM json_each(:undone) AS j WHERE seq = j.value ->> 0 AND user = :number

-- name: bring_revision
INSERT INTO revisions (row_id, memory, change, operation, reason, id, content, key, topics, pinned, metadata, agent,
    team, session_id, source, state, created_at, updated_at, worded_at, expires_at, version, digest)
VALUES (:number << 32 | :seq, :row_id, :change, :operation, :reason, :id, :content, :key, :topics, :pinned, :metadata,
    :agent, :team, :session_id, :source, :state, :created_at, :updated_at, :worded_at, :expires_at, :version, :digest)

-- name: bring_memories
-- Many at once: the index is written to at every statement. :arrived lists [row_id of the revision, terms, term_count];
-- :fingerprints has 16 bytes for each.
INSERT INTO memories (row_id, user, id, content, key, topics, pinned, metadata, agent, team, session_id, source, state,
    created_at, updated_at, worded_at, expires_at, version, seq, digest, fingerprint, terms, term_count)
SELECT p.memory, p.memory >> 32, p.id, p.content, p.key, p.topics, p.pinned, p.metadata, p.agent, p.team, p.session_id,
    p.source, p.state, p.created_at, p.updated_at, p.worded_at, p.expires_at, p.version, p.row_id & 0xffffffff,
    p.digest, substr(:fingerprints, 1 + 16 * j.key, 16), j.value ->> 1, j.value ->> 2
FROM json_each(:arrived) AS j CROSS JOIN revisions AS p ON p.row_id = j.value ->> 0

-- name: bring_wordings
-- :wordings lists [row_id of the revision, memory, superseded_by, held_from, held_until, terms, term_count].
INSERT INTO past_wordings (row_id, memory, superseded_by, held_from, held_until, fingerprint, terms, term_count)
SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4,
    substr(:fingerprints, 1 + 16 * j.key, 16), j.value ->> 5, j.value ->> 6
FROM json_each(:wordings) AS j

-- name: mere_additions
SELECT iif(count(*) = sum(r.operation = 'add' AND r.memory >> 32 = :number AND r.row_id >> 32 = :number
        AND EXISTS (SELECT 1 FROM memories AS m WHERE m.row_id = r.memory)
        AND NOT EXISTS (SELECT 1 FROM revisions AS n WHERE n.memory = r.memory AND n.row_id > r.row_id)),
    count(*), 0) AS count
FROM revisions AS r WHERE r.change = :undone

-- fragment: added
FROM revisions AS r CROSS JOIN memories AS m ON m.row_id = r.memory
WHERE r.change = :undone AND r.memory > (:number << 32 | :after)

-- name: added
SELECT m.* {added} ORDER BY r.memory LIMIT :limit

-- name: withdraw_revisions
-- What a step "delete" writes, for all that a change added: the last that was written comes first. :digests has 16 bytes
-- for each.
INSERT INTO revisions (row_id, memory, change, operation, reason, id, content, key, topics, pinned, metadata, agent,
    team, session_id, source, state, created_at, updated_at, worded_at, expires_at, version, digest)
SELECT (:number << 32) + :last_seq + row_number() OVER (ORDER BY r.row_id DESC), m.row_id, {change_of_id}, 'delete',
    :reason, m.id, m.content, m.key, m.topics, m.pinned, m.metadata, m.agent, m.team, m.session_id, m.source, m.state,
    m.created_at, :now, m.worded_at, m.expires_at, m.version + 1,
    substr(:digests, 16 * row_number() OVER (ORDER BY r.memory) - 15, 16)
{added} ORDER BY r.row_id DESC

-- name: withdraw_memories
DELETE FROM memories WHERE row_id IN (SELECT memory FROM revisions WHERE change = :undone)

-- name: changes_by_ids
SELECT {change} FROM json_each(:ids) AS j JOIN changes AS c ON c.user = :number AND c.id = j.value

-- name: memories_by_ids
SELECT * FROM memories WHERE user = :number AND id IN (SELECT value FROM json_each(:ids))

-- name: twins
-- Only what counts has a key for itself; a text is nobody else's also while it waits for approval.
SELECT * FROM memories WHERE user = :number AND fingerprint = :fingerprint
UNION
SELECT * FROM memories WHERE user = :number AND key = :key AND state = 'active'

-- name: holders
-- :fingerprints has 16 bytes for each number in :places. Joined in this order, whatever SQLite thinks of it: the other way
-- round each of the user's memories would be held against each of these.
SELECT m.* FROM json_each(:places) AS j
CROSS JOIN memories AS m ON m.user = :number AND m.fingerprint = substr(:fingerprints, 1 + 16 * j.value, 16)
UNION
SELECT m.* FROM json_each(:keys) AS j CROSS JOIN memories AS m
    ON m.user = :number AND m.key = j.value AND m.state = 'active'

-- name: expired
SELECT * FROM memories WHERE user = :number AND expires_at <= :now ORDER BY expires_at, row_id LIMIT :limit

-- name: undecided
SELECT * FROM memories INDEXED BY memories_pending
WHERE user = :number AND state = 'pending' AND created_at <= :moment ORDER BY row_id LIMIT :limit

-- name: revisions_of_change
SELECT {revision_and_change} WHERE r.change = :change AND c.user = :number ORDER BY r.row_id

-- name: history
SELECT {revision_and_change} WHERE r.memory = :memory ORDER BY r.row_id

-- name: aftermath
SELECT {change}, r.*
FROM (SELECT memory, min(row_id) AS first FROM revisions
    WHERE row_id IN (SELECT :number << 32 | value FROM json_each(:seqs) WHERE value BETWEEN 0 AND 0xffffffff)
    GROUP BY memory) AS own
JOIN revisions AS r ON r.memory = own.memory AND r.row_id >= coalesce(
    (SELECT max(p.row_id) FROM revisions AS p WHERE p.memory = own.memory AND p.row_id < own.first), own.first)
JOIN changes AS c ON c.seq = r.change
ORDER BY r.row_id

-- name: change_of_user
SELECT {change} FROM users AS u JOIN changes AS c ON c.user = u.number WHERE u.name = :user AND c.id = :id

-- name: changes
SELECT {change}, (SELECT id FROM changes WHERE seq = c.undoes) AS undoes_id,
    (SELECT id FROM changes WHERE seq = c.undone_by) AS undone_by_id,
    (SELECT count(*) FROM revisions AS r WHERE r.change = c.seq) AS count
FROM users AS u JOIN changes AS c ON c.user = u.number
WHERE u.name = :user AND c.seq > :after AND (:before IS NULL OR c.seq < :before) AND (:since IS NULL OR c.at >= :since)
ORDER BY c.seq DESC LIMIT :limit

-- name: traces
-- The first revisions of some changes, each followed by the one before it, whose `follower` it is.
WITH wrote AS MATERIALIZED (
    SELECT r.row_id, (
        SELECT max(p.row_id) FROM revisions AS p WHERE p.memory = r.memory AND p.row_id < r.row_id) AS former
    FROM json_each(:changes) AS j JOIN revisions AS r ON r.row_id IN (
        SELECT row_id FROM revisions WHERE change = j.value ORDER BY row_id LIMIT :limit)
)
SELECT r.*, {change}, w.follower
FROM (SELECT row_id, NULL AS follower FROM wrote
    UNION ALL SELECT former, row_id & 0xffffffff FROM wrote WHERE former IS NOT NULL) AS w
JOIN revisions AS r ON r.row_id = w.row_id JOIN changes AS c ON c.seq = r.change
JOIN users AS u ON u.number = c.user
WHERE u.name = :user
ORDER BY r.row_id

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

-- name: foremost
-- Rows alone, as one text: what is shown of them is read by `living`. The order is that of the index
-- memories_by_importance, and the numbers in it are those of `store.importance`.
SELECT json_group_array(row) AS rows, coalesce(sum(firm), 0) AS firm, (
    SELECT count(*) FROM users AS u JOIN memories AS m INDEXED BY memories_for_search ON m.row_id BETWEEN {own_rows}
    WHERE u.name = :user AND {living}) AS total
FROM (
    SELECT m.row_id & 0xffffffff AS row, m.pinned <> 0 OR m.key IS NOT NULL AS firm
    FROM users AS u JOIN memories AS m ON m.user = u.number
    WHERE u.name = :user AND {living}
    ORDER BY m.pinned DESC, m.key IS NOT NULL DESC,
        m.updated_at + 7776000000000 * min(m.version - 1, 4) DESC, m.row_id DESC
    LIMIT :limit)

-- name: page
SELECT m.* FROM users AS u
JOIN memories AS m ON m.row_id BETWEEN u.number << 32 AND (u.number << 32) + :before - 1
WHERE u.name = :user AND {living}
    AND {in_filter}
ORDER BY m.row_id DESC LIMIT :limit

-- name: living_after
SELECT m.* FROM users AS u JOIN memories AS m ON m.row_id BETWEEN (u.number << 32 | :after) + 1
    AND u.number << 32 | 0xffffffff
WHERE u.name = :user AND {living} ORDER BY m.row_id LIMIT :limit

-- name: versions_of_rows
SELECT {revision_and_change}
WHERE r.memory IN (SELECT u.number << 32 | j.value FROM users AS u, json_each(:rows) AS j WHERE u.name = :user)
ORDER BY r.memory, r.row_id

-- name: count
SELECT count(*) AS total FROM users AS u
JOIN memories AS m ON m.row_id BETWEEN {own_rows}
WHERE u.name = :user AND {living}
    AND {in_filter}

-- name: gone
SELECT {revision_and_change} JOIN users AS u ON u.number = c.user
WHERE u.name = :user AND r.row_id BETWEEN u.number << 32 AND (u.number << 32) + :before - 1
    AND r.operation IN ('delete', 'expire') AND r.state = 'active'
    AND NOT EXISTS (SELECT 1 FROM memories AS m WHERE m.row_id = r.memory)
    AND NOT EXISTS (SELECT 1 FROM revisions AS n WHERE n.memory = r.memory AND n.row_id > r.row_id)
ORDER BY r.row_id DESC LIMIT :limit

-- fragment: pending
m.state = 'pending' AND m.created_at > :since AND (m.expires_at IS NULL OR m.expires_at > :now)

-- name: pending
SELECT m.* FROM users AS u JOIN memories AS m INDEXED BY memories_pending ON m.user = u.number
    AND m.row_id < (u.number << 32) + :before
WHERE u.name = :user AND {pending} ORDER BY m.row_id DESC LIMIT :limit

-- name: count_pending
SELECT count(*) AS total FROM users AS u JOIN memories AS m INDEXED BY memories_pending ON m.user = u.number
WHERE u.name = :user AND {pending}

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

-- name: revisions_left
-- Each write of a user has a sequence and a revision of its own: fewer of them than sequences means that some are gone.
SELECT count(*) AS count FROM revisions WHERE row_id > :after AND row_id <= :end

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
WHERE m.row_id = (:number << 32 | :row) AND m.version = :version AND m.content = :content
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
        WHERE m.row_id BETWEEN {own_rows} AND v.row_id IS NULL) AS lacking,
    (SELECT count(*) FROM memories AS m INDEXED BY memories_pending WHERE m.user = u.number AND m.state = 'pending')
        AS pending
FROM users AS u ORDER BY u.number

-- name: census
SELECT count(*) AS total, count(*) FILTER (WHERE m.pinned) AS pinned, count(m.key) AS keyed,
    count(m.expires_at) AS expiring
FROM users AS u JOIN memories AS m ON m.row_id BETWEEN {own_rows} WHERE u.name = :user AND {living}

-- name: census_groups
SELECT 'topic' AS what, t.value AS name, count(*) AS count
FROM users AS u JOIN memories AS m INDEXED BY memories_for_search ON m.row_id BETWEEN {own_rows}
JOIN json_each(iif(json_valid(m.topics), m.topics, '[]')) AS t ON t.type = 'text'
WHERE u.name = :user AND {living} GROUP BY 2
UNION ALL
SELECT 'agent', m.agent, count(*)
FROM users AS u JOIN memories AS m INDEXED BY memories_for_search ON m.row_id BETWEEN {own_rows}
WHERE u.name = :user AND {living} AND m.agent IS NOT NULL GROUP BY 2
ORDER BY 3 DESC, 2

-- name: census_created
SELECT CAST(m.created_at AS INTEGER) / :quarter AS quarter, count(*) AS count FROM users AS u
JOIN memories AS m ON m.row_id BETWEEN {own_rows}
WHERE u.name = :user AND {living} GROUP BY quarter ORDER BY quarter

-- name: rename
UPDATE users SET name = :name WHERE name = :user AND NOT EXISTS (SELECT 1 FROM users WHERE name = :name)
RETURNING number

-- name: add_former_name
-- What older backups call a user who was renamed since: they are to be found there too when all of theirs is erased.
INSERT INTO settings (name, value) VALUES ('former_name:' || :number || ':' || :user, :name)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: keep_former_names
UPDATE settings SET value = :name WHERE name GLOB 'former_name:' || :number || ':*'

-- name: former_names
SELECT name FROM settings WHERE value = :user AND name GLOB 'former_name:*'

-- name: others_former_names
-- Who else was called :user before.
SELECT name FROM settings WHERE value <> :user AND name GLOB 'former_name:*'
    AND substr(name, instr(substr(name, 13), ':') + 13) = :user

-- name: erase_former_names
DELETE FROM settings WHERE value = :user AND name GLOB 'former_name:*'

-- name: user_of_number
SELECT 1 FROM users WHERE number = :number AND name = :user

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

-- name: objects
SELECT type, name FROM sqlite_master

-- name: last_migration
SELECT coalesce(max(number), 0) AS number FROM schema_migrations

-- name: memories_after
SELECT m.*, u.name AS user_name FROM memories AS m LEFT JOIN users AS u ON u.number = m.user
WHERE m.row_id > :after ORDER BY m.row_id LIMIT :limit

-- name: revisions_after
-- Without those that say the same as the memory they are the last revision of: they are as sound as it is.
SELECT r.*, u.name AS user_name FROM revisions AS r LEFT JOIN users AS u ON u.number = r.row_id >> 32
WHERE r.row_id > :after AND NOT EXISTS (
    SELECT 1 FROM memories AS m
    WHERE m.row_id = r.memory AND m.seq = r.row_id & 0xffffffff AND m.digest = r.digest
        AND (m.id, m.content, m.key, m.topics, m.pinned, m.metadata, m.agent, m.team, m.session_id)
            IS (r.id, r.content, r.key, r.topics, r.pinned, r.metadata, r.agent, r.team, r.session_id)
        AND (m.source, m.state, m.created_at, m.updated_at, m.worded_at, m.expires_at, m.version)
            IS (r.source, r.state, r.created_at, r.updated_at, r.worded_at, r.expires_at, r.version))
ORDER BY r.row_id LIMIT :limit

-- name: versions_of
SELECT * FROM revisions WHERE memory = :memory ORDER BY row_id DESC

-- name: wordings_after
SELECT r.*, p.terms, p.term_count FROM past_wordings AS p JOIN revisions AS r ON r.row_id = p.row_id
WHERE p.row_id > :after ORDER BY p.row_id LIMIT :limit

-- name: duplicates
-- Read from the table itself: the unique indexes would hide what they missed.
SELECT 'text' AS what, group_concat(id, ', ') AS ids FROM memories NOT INDEXED
GROUP BY user, fingerprint HAVING count(*) > 1
UNION ALL
SELECT 'key', group_concat(id, ', ') FROM memories NOT INDEXED
WHERE key IS NOT NULL AND state = 'active' GROUP BY user, key HAVING count(*) > 1
UNION ALL
SELECT 'id', group_concat(id, ', ') FROM memories NOT INDEXED GROUP BY user, id HAVING count(*) > 1

-- fragment: newest_write
(SELECT r.row_id & 0xffffffff FROM revisions AS r WHERE r.row_id BETWEEN {own_rows} ORDER BY r.row_id DESC LIMIT 1)

-- name: sequences_behind
SELECT u.name FROM users AS u WHERE u.last_seq < {newest_write}

-- name: mend_sequences
UPDATE users AS u SET last_seq = {newest_write} WHERE u.last_seq < {newest_write} RETURNING name

-- name: vector_health
-- A model's vectors have the length that it gives, or else that most of them have.
SELECT
    (SELECT count(*) FROM memories AS m INDEXED BY memories_for_search
        LEFT JOIN vectors AS v ON v.row_id = m.row_id AND v.model = :model WHERE v.row_id IS NULL) AS lacking,
    (SELECT count(*) FROM vectors WHERE model <> :model) AS others,
    (SELECT count(*) FROM vectors WHERE model = :model AND length(vector) <> coalesce(:dimensions, (
        SELECT length(vector) FROM vectors WHERE model = :model GROUP BY 1 ORDER BY count(*) DESC LIMIT 1))) AS misfits

-- name: check_memory_index
INSERT INTO memory_index (memory_index, rank) VALUES ('integrity-check', 1)

-- name: check_past_index
INSERT INTO past_index (past_index, rank) VALUES ('integrity-check', 1)

-- name: list_memory_index
CREATE VIRTUAL TABLE temp.memory_entries USING fts5vocab (main, memory_index, instance)

-- name: list_past_index
CREATE VIRTUAL TABLE temp.past_entries USING fts5vocab (main, past_index, instance)

-- name: compare_memory_index
SELECT (SELECT count(*) FROM memories WHERE terms <> '' AND row_id NOT IN (SELECT doc FROM memory_entries)) AS missing,
    (SELECT count(DISTINCT doc) FROM memory_entries WHERE doc NOT IN (SELECT row_id FROM memories)) AS extra

-- name: compare_past_index
SELECT (SELECT count(*) FROM past_wordings WHERE terms <> '' AND row_id NOT IN (SELECT doc FROM past_entries))
        AS missing,
    (SELECT count(DISTINCT doc) FROM past_entries WHERE doc NOT IN (SELECT row_id FROM past_wordings)) AS extra

-- name: every_index_changed
UPDATE users SET vector_seq = vector_seq + 1

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

-- name: counts
-- What a backup must have as many of as its file.
SELECT (SELECT count(*) FROM memories) AS memories, (SELECT count(*) FROM users) AS users,
    (SELECT count(*) FROM revisions) AS revisions, (SELECT count(*) FROM changes) AS changes,
    (SELECT count(*) FROM vectors) AS vectors

-- name: contents
-- Who has how many memories alive or expired: what a person is shown of a file.
SELECT count(*) AS memories, count(DISTINCT user) AS users FROM memories

-- name: first_change
SELECT at FROM changes ORDER BY seq LIMIT 1

-- name: last_change
SELECT coalesce(max(seq), 0) AS seq FROM changes

-- name: min_writer
SELECT CAST(value AS INTEGER) AS min_writer FROM settings WHERE name = 'min_writer'

-- name: backup_folders
SELECT path FROM backup_folders ORDER BY path

-- name: add_backup_folder
INSERT INTO backup_folders (path) VALUES (:path) ON CONFLICT DO NOTHING

-- name: has_backup_folders
SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'backup_folders'

-- name: count_objects
SELECT count(*) FROM sqlite_master

-- name: application
PRAGMA application_id

-- name: integrity
PRAGMA integrity_check(1)

-- name: lock_exclusively
PRAGMA locking_mode = EXCLUSIVE

-- name: without_log
-- Brings what is in the log into the file, which only a connection that is alone may do.
PRAGMA journal_mode = DELETE

-- name: begin_alone
BEGIN EXCLUSIVE

-- name: commit
COMMIT

-- name: due
-- In pieces, since there may be many users.
SELECT number, name, last_seq,
    (SELECT min(expires_at) FROM memories WHERE user = users.number AND expires_at IS NOT NULL) AS first_expiry,
    (SELECT min(created_at) FROM memories INDEXED BY memories_pending WHERE user = users.number AND state = 'pending')
        AS first_pending
FROM users WHERE number > :after ORDER BY number LIMIT :limit

-- name: first_change_since
-- Of one piece of the user's changes: the first at that moment or later, and the last of all.
SELECT min(seq) FILTER (WHERE at >= :moment) AS first, max(seq) AS last
FROM (
    SELECT c.seq, c.at FROM users AS u JOIN changes AS c ON c.user = u.number AND c.seq > :after
    WHERE u.name = :user ORDER BY c.seq LIMIT :limit)

-- fragment: obsolete
-- Replaced, or gone with its memory, before a change: the order of changes counts, since clocks jump.
(r.change < :replaced AND EXISTS (
        SELECT 1 FROM revisions AS n WHERE n.memory = r.memory AND n.row_id > r.row_id AND n.change < :replaced)
    OR r.change < :deleted AND NOT EXISTS (SELECT 1 FROM memories AS m WHERE m.row_id = r.memory)
        AND (SELECT l.operation IN ('delete', 'expire') AND l.change < :deleted FROM revisions AS l
            WHERE l.memory = r.memory ORDER BY l.row_id DESC LIMIT 1))

-- name: obsolete
SELECT r.row_id & 0xffffffff AS seq FROM users AS u JOIN revisions AS r ON r.row_id {written}
WHERE u.name = :user AND {obsolete} ORDER BY r.row_id

-- name: prunable
SELECT r.row_id, r.memory, r.change FROM json_each(:seqs) AS j JOIN revisions AS r ON r.row_id = (:number << 32 | j.value)
WHERE {obsolete}

-- name: remove_revisions
DELETE FROM revisions WHERE row_id IN (SELECT value FROM json_each(:revisions))

-- name: mark_pruned
-- The changes named, and those of which the revision is now the first of a memory without being its beginning.
UPDATE changes SET pruned = 1
WHERE seq IN (SELECT value FROM json_each(:changes)) OR seq IN (
    SELECT r.change FROM json_each(:memories) AS j JOIN revisions AS r
        ON r.row_id = (SELECT min(row_id) FROM revisions WHERE memory = j.value)
    WHERE r.operation <> 'add')

-- name: leave_traces
-- Removed text may stand in index segments and free pages until an erasing that begins later has cleaned the file.
INSERT INTO settings (name, value) VALUES ('traces', '1')
ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + 1

-- name: traces_left
SELECT value FROM settings WHERE name = 'traces'

-- name: no_traces
DELETE FROM settings WHERE name = 'traces' AND value = :seen

-- name: changed
SELECT changes() AS count

-- name: user_to_erase
SELECT u.number, u.last_seq, (SELECT count(DISTINCT memory) FROM revisions WHERE memory BETWEEN {own_rows}) AS memories
FROM users AS u WHERE u.name = :user

-- name: memory_to_erase
-- An id can have belonged to several memories, one after another.
SELECT u.number, json_group_array(o.memory) AS memories, count(*) AS count
FROM users AS u JOIN (
    SELECT memory FROM revisions WHERE id = :id
    UNION
    SELECT row_id FROM memories WHERE user = (SELECT number FROM users WHERE name = :user) AND id = :id) AS o
    ON o.memory BETWEEN {own_rows}
WHERE u.name = :user GROUP BY u.number

-- name: erase_vectors_of_user
DELETE FROM vectors WHERE row_id BETWEEN :first AND :last

-- name: erase_wordings_of_user
DELETE FROM past_wordings WHERE row_id BETWEEN :first AND :last

-- name: erase_memories_of_user
DELETE FROM memories WHERE row_id BETWEEN :first AND :last

-- name: erase_revisions_of_user
DELETE FROM revisions WHERE row_id BETWEEN :first AND :last

-- name: erase_changes_of_user
DELETE FROM changes WHERE user = :number

-- name: erase_name_of_user
DELETE FROM users WHERE number = :number

-- name: changes_of_memories
SELECT DISTINCT change FROM revisions WHERE memory IN (SELECT value FROM json_each(:memories))

-- name: erase_vectors_of_memories
DELETE FROM vectors WHERE row_id IN (SELECT value FROM json_each(:memories))

-- name: erase_wordings_of_memories
DELETE FROM past_wordings WHERE memory IN (SELECT value FROM json_each(:memories))

-- name: erase_memories
DELETE FROM memories WHERE row_id IN (SELECT value FROM json_each(:memories))

-- name: erase_revisions_of_memories
DELETE FROM revisions WHERE memory IN (SELECT value FROM json_each(:memories))

-- name: unname_in_changes
UPDATE changes SET summary = replace(summary, :id, :forgotten) WHERE user = :number AND instr(summary, :id)

-- name: unname_in_reasons
UPDATE revisions SET reason = replace(reason, :id, :forgotten)
WHERE row_id BETWEEN :number << 32 AND :number << 32 | 0xffffffff AND instr(reason, :id)

-- name: rebuild_memory_index
-- Made anew from the table rather than merged: no term is left that the table does not hold, damaged or not.
INSERT INTO memory_index (memory_index) VALUES ('rebuild')

-- name: optimize_memory_index
INSERT INTO memory_index (memory_index) VALUES ('optimize')

-- name: rebuild_past_index
INSERT INTO past_index (past_index) VALUES ('rebuild')

-- name: optimize_past_index
INSERT INTO past_index (past_index) VALUES ('optimize')

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

-- name: file_ids
SELECT value FROM settings WHERE name = 'file_id'

-- name: set_file_ids
UPDATE settings SET value = :value WHERE name = 'file_id'
