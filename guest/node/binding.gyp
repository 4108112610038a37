{
  "variables": {
    # In the package that npm installs, the sources are in library.
    "guest_library%": "<!(test -d library && echo library || echo ../user)"
  },
  "targets": [
    {
      "target_name": "hypertrace_guest",
      "conditions": [
        ["OS=='linux'", {
          "sources": ["native.c", "<!@(ls <(guest_library)/*.c)"],
          "include_dirs": ["<(guest_library)"],
          "cflags": ["-std=gnu99", "-O2", "-fvisibility=hidden", "-pthread"]
        }, {
          "type": "none"
        }]
      ]
    }
  ]
}
