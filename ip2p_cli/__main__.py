"""`python -m ip2p_cli`: the same as `ip2p`."""

from ip2p_cli.cli.app import main

if __name__ == "__main__":
    main()
