"""`python -m mini_lib.teach.build [--check] [--lessons-only] [NN ...]`"""

from mini_lib.teach.build.command import main

raise SystemExit(main())
