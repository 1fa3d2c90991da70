# shellcheck shell=bash PgBouncer, and what a cluster of PostgreSQL needs to fail over: Patroni, etcd and HAProxy. All
# are Debian packages. setup.sh sources this file, which uses its `home`, `say` and `version_at_least`.
#
# Tests that lack one of these programs print that they are skipped.

readonly PGBOUNCER_PACKAGES=(
    pgbouncer/1.18.0-1+deb12u1/b8468c31f94596da0967b1a27980a0a036268eb8e53d3e647651bd7b82b6f65e
    libc-ares2/1.18.1-3/087fd5c2ac883202e1786ab45617cdab7f77bc7f060d58cca177ddf6b6c3fa73
    libevent-2.1-7/2.1.12-stable-8+deb12u1/95a025ae2548aed9dbb0f0a0215b0483b7fa43db1d4f1f318f013f2ea84987c3
)
readonly CLUSTER_PACKAGES=(
    patroni/3.0.2-1/d2d7058f8edd732053901dcaf04636e4b4cbda12967e53afd452ade1a2099f90
    etcd-server/3.4.23-4+b4/3a9445d4560ad6de1c375756b2a17d97713df44cbd20a658c871fe108af7ef5d
    haproxy/2.6.12-1+deb12u4/97ca097d12b43fc5cb1b17aa5e84957735ef312a2e02cf8a99512fa1abe8a955
    liblua5.3-0/5.3.6-2/576ad8ef2e9f6ad21f29f0c90dac17448deefee8f3912877c2a0911b77e5d3ca
    libopentracing-c-wrapper0/1.1.3-3+b1/68013bf6296a776923622c871bed26bc7b6bfe5f84b0fa2707a06382d1db2692
    libopentracing1/1.6.0-4/af62b62a99979253a79e3443f7dabe13f1f33bc2fc024f99039e3868a67f26f4
    python3-cdiff/1.0-1.1/5b4286fd1d3653c803641a42810f0ec27a5b94d23cebaa00eaa636470187e2b2
    python3-click/8.1.3-2/c3af7e231d711f7fdb9a2fac4954061fe423ea517279bc30bf95a0920738279b
    python3-colorama/0.4.6-2/4607fbbd4ccac762781d7e73a90858d587a2bcbad2881794b208a24e8630f381
    python3-dateutil/2.8.2-2/59d696282ffeaf54395452e012715410dc414c6baaa54d4cdae56ac7c217eb31
    python3-dnspython/2.3.0-1+deb12u1/06b9e526d64d4f7b2cf5e118e9323323f7bc49d7f082574e5f7bb57d817e65dd
    python3-etcd/0.4.5-4/2edb74a68a58c6e01a97281badd5faa2236768c5f325ebe82f85ff721176e9fb
    python3-pkg-resources/66.1.1-1+deb12u2/25dfb378939ccdf27e7382adf44c168f86e22f9f1a8e6e3a2ec526431ed5e30f
    python3-prettytable/3.6.0-1/438c8447425934efdbc6afc54d23e89292ab5b64a576570fbb862e814b5e4c2a
    python3-psutil/5.9.4-1+b1/177484bcdfb3c0644449c32c6f0b62244e51d5860d801dd7f35bc0848a0dd9dc
    python3-psycopg2/2.9.5-1+b1/e4f59385b82c63dc54cce79a53e5f0fbeb6d5b343698a43e135b95cd2823e564
    python3-six/1.16.0-4/fd189e9cecbcf17a1fc20aec30055c8afa9c1eec00cd6e7ab385087a2ab3b0d3
    python3-urllib3/1.26.12-1+deb12u4/9dd6fef10317e437f2195cb5ea8b38d8e39e02106c5fda7b16d58b4bb9a85886
    python3-wcwidth/0.2.5+dfsg1-1.1/1c34489112645ca7970a7392902711c155bd9a5b2a5e2019c40c256f03d43c94
    python3-yaml/6.0-3+b2/8d0db0b3099298fe039b94e4c52a6987798a90d23b80de3ac13c3cb75cf622a2
)
# The minor version of Python that Debian compiled these packages for.
readonly CLUSTER_PYTHON=3.11

set_up_pgbouncer() {
    local there
    if version_at_least 1.18 "$home/tools/bin/pgbouncer"; then
        say "PgBouncer is there"
    elif there=$(PATH=$PATH:/usr/sbin command -v pgbouncer) && version_at_least 1.18 "$there"; then
        ln -sfn "$there" "$home/tools/bin/pgbouncer"
        say "PgBouncer is there: $there"
    elif fetch_debian pgbouncer "${PGBOUNCER_PACKAGES[@]}" && wrap pgbouncer pgbouncer usr/sbin/pgbouncer &&
        version_at_least 1.18 "$home/tools/bin/pgbouncer"; then
        say "PgBouncer is ready"
    else
        say "could not get PgBouncer: the tests that need it are skipped"
    fi
}

set_up_cluster() {
    if is_cluster; then
        say "Patroni, etcd and HAProxy are there"
    elif fetch_debian cluster "${CLUSTER_PACKAGES[@]}" && wrap cluster etcd usr/bin/etcd &&
        wrap cluster haproxy usr/sbin/haproxy && wrap_patroni && is_cluster; then
        say "Patroni, etcd and HAProxy are ready"
    else
        say "could not get Patroni, etcd and HAProxy, or they do not run here: the tests that need them are skipped"
    fi
}

is_cluster() {
    local bin=$home/tools/bin
    version_at_least 3.0 "$bin/patroni" && version_at_least 3.4 "$bin/etcd" && "$bin/haproxy" -v >/dev/null 2>&1
}

# wrap FOLDER PROGRAM PATH: makes tools/bin/PROGRAM, which runs a program of tools/debian/FOLDER with the libraries there.
wrap() {
    local folder=$1 link=$home/tools/bin/$2 path=$3
    # The file may be a link to another program, which must not be overwritten.
    rm -f "$link"
    cat >"$link" <<WRAPPER
#!/usr/bin/env bash
here=\$(cd "\$(dirname "\${BASH_SOURCE[0]}")/../debian/$folder/root" && pwd -P)
machine=\$(uname -m)-linux-gnu
export LD_LIBRARY_PATH=\$here/usr/lib/\$machine:\$here/lib/\$machine\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
exec "\$here/$path" "\$@"
WRAPPER
    chmod a+x "$link"
}

# Patroni starts PostgreSQL, which must not get the libraries of this folder, so no LD_LIBRARY_PATH is set. Patroni also
# executes itself again, and a script named `patroni` would then hide its own module of that name.
wrap_patroni() {
    local link=$home/tools/bin/patroni python
    for python in /usr/bin/python3 "$(command -v python3)"; do
        [[ $("$python" --version 2>&1) == "Python $CLUSTER_PYTHON."* ]] && break
        python=
    done
    [[ -n $python ]] || return 1
    cat >"$home/tools/debian/cluster/root/run_patroni.py" <<'PROGRAM'
from patroni.__main__ import main

if __name__ == "__main__":
    main()
PROGRAM
    rm -f "$link"
    cat >"$link" <<WRAPPER
#!/usr/bin/env bash
here=\$(cd "\$(dirname "\${BASH_SOURCE[0]}")/../debian/cluster/root" && pwd -P)
export PYTHONPATH=\$here/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE=1
exec $(printf %q "$python") "\$here/run_patroni.py" "\$@"
WRAPPER
    chmod a+x "$link"
}
