{
  "targets": [
    {
      "target_name": "syncline_fuse",
      "conditions": [
        [
          "OS=='linux'",
          {
            "sources": [
              "addon.cc",
              "beneath.cc",
              "beneath_batch.cc",
              "beneath_reads.cc",
              "encryption.cc",
              "file_space.cc",
              "file_times.cc",
              "gear.cc",
              "memory.cc",
              "mounting.cc",
              "notifier.cc",
              "page_cache.cc",
              "recovered.cc",
              "replies.cc",
              "mount_memory.cc",
              "request_slots.cc",
              "requests.cc",
              "session.cc",
              "session_object.cc",
              "spinner.cc"
            ],
            "defines": ["NAPI_VERSION=8"],
            "cflags_cc": ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror=return-type", "-fvisibility=hidden"]
          },
          { "type": "none" }
        ]
      ]
    },
    {
      "target_name": "syncline_supervisor",
      "conditions": [
        [
          "OS=='linux'",
          {
            "type": "executable",
            "sources": ["supervisor.cc"],
            "cflags_cc": ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror=return-type"]
          },
          { "type": "none" }
        ]
      ]
    }
  ]
}
