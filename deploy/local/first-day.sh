#!/usr/bin/env bash
# Runs the commands of "First day" in docs/operations.md unchanged, up to Kubernetes. Then it tries the shell functions
# of "Shell functions" for one machine, and with two customers the commands of "Encryption keys" and "Personal data".
#
# The commands run in a temporary folder, with the programs of target/debug. No other service may listen on their ports.
# Root runs them as `nobody`, as the page describes, because PostgreSQL refuses root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export CHECKOUT=$PWD
home=${TEPPAN_HOME:-.teppan}
[[ $home == /* ]] || home=$PWD/$home
export PATH=$PWD/target/debug:$home/tools/bin:$PATH
deploy/local/setup.sh postgres grpcurl prometheus

# Prints the ports of the page on which something listens.
used_ports() {
    local port
    for port in 50051 50052 9051 9052 9091 55432; do
        ! (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null || echo "$port"
    done
}

[[ -z $(used_ports) ]] || { echo "first-day: something listens on" $(used_ports) >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# blocks FROM TO SKIPPED: prints the page's commands between two headings, without the first SKIPPED blocks.
blocks() {
    awk -v from="$1" -v to="$2" -v skipped="$3" '
        $0 == from { inside = 1 }
        $0 == to { inside = 0 }
        inside && /^```sh$/ { block++; taking = 1; next }
        /^```$/ { taking = 0 }
        taking && block > skipped { print; found = 1 }
        END { exit !found }' docs/operations.md ||
        { echo "first-day: docs/operations.md has no commands between '$1' and '$2'" >&2; return 1; }
}

# try_functions PACKAGE: prints a call of each shell function that the entries of the alerts use.
try_functions() {
    cat <<END
ask readyz
ask metrics | grep '^teppan_build_info'
call grpc.health.v1.Health/Check
call teppan.$1.v1.OutboxService/GetOutboxStatus
run dead-letters list
query 'SELECT 1'
log 1
END
}

# make_customers: prints calls that make two customers, and put their ids into $remaining and $duplicate.
make_customers() {
    cat <<'END'
as() {  # as TOKEN SERVICE/METHOD FILE JSON
  grpcurl -cacert ca.crt -cert booking-service.crt -key booking-service.key \
    -H "authorization: Bearer $(cat "$1.token")" -d "$4" \
    -import-path "$CHECKOUT/proto" -proto "teppan/booking/v1/$3.proto" localhost:50051 "teppan.booking.v1.$2"
}
id() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" | head -n 1; }
venue=$(as garden ScheduleService/CreateVenue schedule_service \
  '{"idempotency_key": "v", "name": "Garden", "time_zone": "Europe/Berlin"}' | id venueId)
as garden ScheduleService/SetWeeklySchedule schedule_service '{"venue_id": "'$venue'", "periods": [{"days":
  ["WEEKDAY_MONDAY", "WEEKDAY_TUESDAY", "WEEKDAY_WEDNESDAY", "WEEKDAY_THURSDAY", "WEEKDAY_FRIDAY", "WEEKDAY_SATURDAY",
  "WEEKDAY_SUNDAY"], "first_start": "18:00", "last_start": "18:00", "capacity": 20, "price_per_person_cents": 3500}]}'
book() {  # book KEY CONTACT
  as assistant BookingService/CreateBooking booking_service '{"idempotency_key": "'$1'", "venue_id": "'$venue'",
    "date": "'$(date -d '+14 days' +%F)'", "start_time": "18:00", "party_size": 2, "conversation_id": "chat-'$1'",
    "contact": '"$2"'}'
}
booked=$(book 1 '{"name": "Mina Sato", "email": "mina.sato@example.org"}')
booking=$(id bookingId <<<"$booked") remaining=$(id customerId <<<"$booked")
booked=$(book 2 '{"name": "Mina Sato", "phone": "+4930123456"}')
other=$(id bookingId <<<"$booked") duplicate=$(id customerId <<<"$booked")
SERVICE=booking-service
END
}

# The ids in the page's commands become those of the customers.
with_ids() {
    local remaining=01a229a3-3b30-7228-9285-b7f721d32769 duplicate=01a22a41-96c4-7a3b-8d02-4f0b6c2f7f35
    sed "s/--customer $remaining/--customer \$remaining/; s/$remaining/'\$remaining'/; s/$duplicate/'\$duplicate'/"
}

# personal_data: prints the commands of "Encryption keys" for one machine, and those of "Personal data".
personal_data() {
    make_customers
    # The first block is for Kubernetes.
    blocks '### Encryption keys' '## Personal data' 1
    echo 'SERVICE=booking-service'
    blocks '## Personal data' '### Merge two customers' 0 | with_ids
    echo 'grep -q mina.sato@example.org customer.json'
    blocks '### Merge two customers' '### Erase a customer' 0 | with_ids
    cat <<'END'
for it in "$booking" "$other"; do
  as assistant BookingService/CancelBooking booking_service '{"booking_id": "'$it'"}'
done
END
    blocks '### Erase a customer' '## Sizing' 0 | with_ids
    echo 'if privacy FindCustomer '\''{"email": "mina.sato@example.org"}'\''; then exit 1; fi'
}

{
    # The first block sets up, builds and makes the folder.
    blocks '## First day' '### Stop and start again' 1
    # The first block is for Kubernetes.
    blocks '## Shell functions' '## Alerts' 1
    try_functions booking
    echo 'SERVICE=conversation-service GRPC=50052 HTTP=9052'
    try_functions conversation
    personal_data
    blocks '### Stop and start again' '### In Kubernetes' 0
    # The last block starts the services again, for another day.
    echo 'kill $(jobs -p); wait; "$bin/pg_ctl" -D "$PWD/postgres" -m fast stop'
} >"$folder/commands.sh"

as_user=()
if [[ $EUID -eq 0 ]]; then
    chown 65534:65534 "$folder"
    chmod 755 "$folder"
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
cd "$folder"
# After a failure, no process is left running.
${as_user[@]+"${as_user[@]}"} env HOME="$folder" timeout --foreground 600 bash -euo pipefail -c '
    trap "kill \$(jobs -p) 2>/dev/null; [ ! -f postgres/postmaster.pid ] || kill \$(head -n 1 postgres/postmaster.pid)" EXIT
    umask 022
    set -v
    . ./commands.sh
    trap - EXIT'
[[ -z $(used_ports) ]] || { echo "first-day: something still listens on" $(used_ports) >&2; exit 1; }
echo "first-day: every command worked"
