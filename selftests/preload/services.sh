#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# nginx and memcached, as Debian ships them, answer some thousand requests on our
# malloc with what they answer on glibc's, byte by byte.
set -u
cd "$(dirname "$0")" || exit
# shellcheck source=common
. ./common
PATH=$PATH:/usr/sbin
need nginx memcached python3
find_sources

# Asks for what it can, over several connections, and prints what it got, in short.
cat > "$dir/client" <<'END'
import hashlib, os, socket, sys, threading, time

def connect(path):
    for attempt in range(600):
        try:
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            return s
        except OSError:
            time.sleep(0.1)
    raise SystemExit("no server at " + path)

def http(path, n, out, count):
    f = connect(path).makefile("rwb")
    for i in range(count):
        name = (i * 7919 + n) % 60
        f.write(b"GET /%d.txt HTTP/1.1\r\nHost: h\r\n%s\r\n" %
                (name, b"Accept-Encoding: gzip\r\n" if i % 2 else b""))
        f.flush()
        status, length = f.readline().split()[1], None
        for line in iter(f.readline, b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if length is None:
            body = b""
            while True:
                size = int(f.readline(), 16)
                body += f.read(size + 2)[:size]
                if not size:
                    break
        else:
            body = f.read(length)
        out.update(status + body)

def memcached(path, n, out, count):
    f = connect(path).makefile("rwb")
    for i in range(count):
        key = b"key-%d-%d" % (n, i * 7919 % 1500)
        value = key * (i * 31 % 300 + 1)
        f.write(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        if i % 7 == 0:
            f.write(b"delete key-%d-%d\r\n" % (n, i % 1500))
        f.write(b"get key-%d-%d\r\n" % (n, i * 13 % 1500))
        f.flush()
        out.update(f.readline())
        if i % 7 == 0:
            out.update(f.readline())
        line = f.readline()
        while line != b"END\r\n":
            out.update(line + f.readline())
            line = f.readline()

what, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
outs = [hashlib.sha256() for n in range(8)]
threads = [threading.Thread(target=globals()[what], args=(path, n, outs[n], count)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
for out in outs: print(out.hexdigest())
END

# serve CLIENT COUNT COMMAND...: the command serves $dir/socket until the client is done
cat > "$dir/serve" <<'END'
#!/bin/bash
rm -f "$dir/socket"
"${@:3}" > "$dir/server.out" 2>&1 &
server=$!
timeout 600 python3 "$dir/client" "$1" "$dir/socket" "$2"
code=$?
grep -q libslabpool-malloc "/proc/$server/maps" || [ -z "$LD_PRELOAD" ] || echo "not on our malloc"
kill -TERM $server
wait $server
echo "client $code, server $?"
cat "$dir/server.out"
END
export dir

mkdir -p "$dir/www"
for i in $(seq 0 59); do
	seq -f "$i %g" $((i * i * 20 + 1)) > "$dir/www/$i.txt"
done
cat > "$dir/nginx.conf" <<END
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log stderr error;
events { worker_connections 200; }
http {
	access_log off;
	gzip on;
	gzip_types text/plain;
	default_type text/plain;
	client_body_temp_path $dir/t1; proxy_temp_path $dir/t2; fastcgi_temp_path $dir/t3;
	uwsgi_temp_path $dir/t4; scgi_temp_path $dir/t5;
	server { listen unix:$dir/socket; root $dir/www; keepalive_requests 100000; }
}
END
memcached=(memcached -s "$dir/socket" -t 4 -m 64)
[ "$(id -u)" != 0 ] || memcached+=(-u root)

for source in "${sources[@]}"; do
	test_case "nginx on $source" same "$source" bash "$dir/serve" http "$(sized 300 20)" \
		nginx -c "$dir/nginx.conf" -e stderr
	test_case "memcached on $source" same "$source" bash "$dir/serve" memcached "$(sized 3000 200)" \
		"${memcached[@]}"
done
finish
