#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# The sqlite3 shell on a generated script prints what it prints on glibc's malloc.
set -u
cd "$(dirname "$0")" || exit
# shellcheck source=common
. ./common
need sqlite3
find_sources

rows=$(sized 200000 5000)
cat > "$dir/script" <<END
PRAGMA journal_mode = MEMORY;
PRAGMA cache_size = -60000;
CREATE TABLE item(id INTEGER PRIMARY KEY, key TEXT, number INTEGER, body BLOB);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
	INSERT INTO item SELECT i, printf('key-%08x', i * 2654435761 % 4294967296),
		i * 7919 % 10007, zeroblob(i % 300) FROM n;
COMMIT;
CREATE INDEX by_key ON item(key);
CREATE INDEX by_number ON item(number, key);
SELECT count(*), sum(number), sum(length(body)), min(key), max(key) FROM item;
SELECT number, count(*) AS c, group_concat(key) FROM item WHERE number < 40 GROUP BY number ORDER BY c DESC, number;
SELECT a.id, b.id FROM item a JOIN item b ON a.number = b.number + 1 AND a.id % 1000 = b.id % 1000
	ORDER BY a.key LIMIT 50;
SELECT key FROM item ORDER BY substr(key, 9), number LIMIT 50;
BEGIN;
UPDATE item SET body = hex(key) || body, number = number + 1 WHERE id % 3 = 0;
DELETE FROM item WHERE id % 5 = 0;
ROLLBACK;
BEGIN;
UPDATE item SET body = hex(key), number = number + 1 WHERE id % 3 = 0;
DELETE FROM item WHERE id % 5 = 0;
COMMIT;
SELECT count(*), sum(number), sum(length(body)) FROM item;
VACUUM;
PRAGMA integrity_check;
END

for source in "${sources[@]}"; do
	test_case "memory database on $source" same "$source" \
		timeout 900 sqlite3 -batch :memory: ".read $dir/script"
	# The same rows through a file and its page cache.
	test_case "file on $source" same "$source" timeout 900 sqlite3 -batch file.db \
		'CREATE TABLE t(a, b);' "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
			WHERE i < $rows) INSERT INTO t SELECT i, hex(i * 7919) FROM n;" \
		'CREATE INDEX i ON t(b);' 'SELECT count(*), min(b), max(b) FROM t;' 'PRAGMA integrity_check;'
done
finish
