SELECT table_schema AS schema, table_name AS name FROM information_schema.columns
WHERE column_name = ANY (%(columns)s) GROUP BY 1, 2 HAVING count(*) = cardinality(%(columns)s) ORDER BY 1, 2;
SELECT * FROM {table}
