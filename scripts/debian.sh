#!/bin/sh
# What pip cannot bring. Without an argument: bubblewrap, the outer wall of the sandbox; without it
# the sandbox still runs at tier "standard" (Landlock + seccomp + rlimits). With "chromium": the
# browser for the tests with the mark `browser` and for the pictures (some hundreds of MB).
set -eu
package=${1:-bubblewrap}
program=$package
[ "$package" = bubblewrap ] && program=bwrap
command -v "$program" >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get install -y -qq "$package" >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq "$package" >/dev/null; }
elif [ "$package" = chromium ]; then
  echo "Chromium is not installed: sudo apt-get install chromium" >&2
  exit 1
else
  echo "Note: bubblewrap is not installed, so the sandbox runs at tier 'standard'." >&2
  echo "      For tier 'strong': sudo apt-get install bubblewrap" >&2
fi
