"""Temporary."""

import sys
from pathlib import Path


def main():
    cmd = sys.argv[1]
    home = Path(sys.argv[sys.argv.index("--home") + 1]) if "--home" in sys.argv else None
    from gateway.service import app
    from gateway.service.home import Home

    if cmd == "signer":
        app.run_signer(Home(home))
        return 0
    if cmd == "serve":
        import os

        from gateway.service.tls import ensure_openssl_conf

        ensure_openssl_conf(home / "openssl.cnf", sys.orig_argv, os.environ)
        import asyncio

        app.configure_logging()
        return asyncio.run(app.serve(Home(home)))
    if cmd == "audit":
        print('{"logs":[]}')
        return 0
    if cmd == "demo":
        from gateway.cli.demo import demo_command

        app.configure_logging()
        return demo_command("--once" in sys.argv, "--json" in sys.argv, Path("/tmp/dm/demo"))


sys.exit(main())
