"""What `pulumi up` runs."""

from infra.loading import loading

with loading():
    from components.program import main

    main()
