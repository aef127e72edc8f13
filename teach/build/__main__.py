"""`python -m teach.build [--check] [--lessons-only] [NN ...]`"""

from teach.build.command import main

raise SystemExit(main())
