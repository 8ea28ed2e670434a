"""What `pulumi up` runs."""

from components.program import main

main()
