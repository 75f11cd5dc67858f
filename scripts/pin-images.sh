#!/usr/bin/env bash
# pin-images.sh [FILE]…: adds to every image of docker-compose.prod.yml and Dockerfile, which name tags, the digest that its tag has in the registry
# now, so that a tag that is moved changes nothing here. Run it again for newer ones; `--unpin` takes the digests away. Needs docker and a registry.
set -euo pipefail
cd "$(dirname "$0")/.."
unpin=''
if [ "${1:-}" = --unpin ]; then unpin=1 && shift; fi
files=("$@")
[ $# -gt 0 ] || files=(docker-compose.prod.yml Dockerfile)
place='^( +image: |FROM )'
name='([^ @$]+:[^ @$]+)'
digest='(@sha256:[0-9a-f]{64})?'

if [ -n "$unpin" ]; then sed -Ei "s#$place$name$digest#\1\2#" "${files[@]}" && exit; fi
mapfile -t images < <(sed -nE "s#$place$name$digest.*#\2#p" "${files[@]}" | sort -u)
# all are asked for before a file is changed
declare -A pinned
for image in "${images[@]}"; do
  docker pull --quiet "$image" >/dev/null || { echo "error: $image cannot be pulled; nothing was changed" >&2; exit 1; }
  found=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" | grep -F "${image%:*}@" | head -n 1 || true)
  [ -n "$found" ] || { echo "error: $image has no digest: it was built here, or loaded; nothing was changed" >&2; exit 1; }
  pinned[$image]=$image@${found#*@}
done
for image in "${images[@]}"; do
  sed -Ei "s#$place${image//./\\.}$digest( |\$)#\1${pinned[$image]}\3#" "${files[@]}"
  echo "${pinned[$image]}"
done
