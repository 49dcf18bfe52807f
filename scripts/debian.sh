#!/bin/sh
# The only package that pip cannot bring: bubblewrap, the outer wall of the sandbox. Without it
# the sandbox still runs at tier "standard" (Landlock + seccomp + rlimits).
set -eu
command -v bwrap >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get install -y -qq bubblewrap >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq bubblewrap >/dev/null; }
else
  echo "Note: bubblewrap is not installed, so the sandbox runs at tier 'standard'." >&2
  echo "      For tier 'strong': sudo apt-get install bubblewrap" >&2
fi
