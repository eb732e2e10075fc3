#!/bin/sh
# An update on trial. A program that install.sh put in the place of another one has three starts: where two ended in a
# crash, before it heard or within a minute of it, the third is that of the program before. Called by glasses.service,
# as root, from where install.sh copies it to, /opt/glasses.trial:
#   glasses.trial start     it is about to be started
#   glasses.trial ready     it hears
#   glasses.trial stopped   it ended, as systemd says in $EXIT_CODE and $EXIT_STATUS (systemd.exec(5))
# A start that ended with a reason (exit code 2: no microphone, say) or because it was told to is no crash. Power that
# is cut before it hears is one: a board that resets as it starts would do the same.
set -eu

root=${GLASSES_ROOT:-} # a folder to try this in
now=$root/opt/glasses before=$root/opt/glasses.old
mark=$now/.trial # starts that did not come to hear, crashes soon after, seconds of uptime at which it heard (0: not)
PROVEN_S=60

# Power may be cut between two moves, here or in install.sh: then there is only the program before.
if [ ! -d "$now" ] && [ -d "$before" ]; then mv "$before" "$now"; fi
[ -f "$mark" ] || exit 0
read -r unheard crashes heard_s <"$mark" || exit 0
uptime_s=$(cut -d. -f1 /proc/uptime)
keep() { echo "$1 $2 $3" >"$mark.new" && mv "$mark.new" "$mark"; }

back() {
    echo "glasses: the update crashed twice as it started; back to the program before, the other is $now.failed" >&2
    rm -rf "$now.failed"
    mv "$now" "$now.failed"
    mv "$before" "$now"
    rm -f "$now/.trial"
    cp "$now/hardware/glasses.service" "$root/etc/systemd/system/glasses.service"
    if [ -z "$root" ]; then systemctl daemon-reload || true; fi
}

case ${1:-} in
    start)
        if [ $((unheard + crashes)) -lt 2 ]; then
            keep $((unheard + 1)) "$crashes" 0
        elif [ -d "$before" ]; then
            back
        fi
        ;;
    ready) keep $((unheard - 1)) "$crashes" "$uptime_s" ;;
    stopped)
        if [ "$heard_s" -gt 0 ] && [ $((uptime_s - heard_s)) -ge $PROVEN_S ]; then
            rm "$mark"
            exit 0
        fi
        crashed=1
        case "${EXIT_CODE:-}/${EXIT_STATUS:-}" in exited/0 | exited/2 | killed/TERM | killed/INT) crashed=0 ;; esac
        if [ "$heard_s" -gt 0 ]; then
            keep "$unheard" $((crashes + crashed)) 0
        elif [ $crashed = 0 ]; then
            keep $((unheard - 1)) "$crashes" 0
        fi
        ;;
    *)
        echo "usage: glasses.trial start|ready|stopped" >&2
        exit 2
        ;;
esac
