"""The review page and its server: Starlette in front of `sfumato.review.queue`.

    browser --admission--> routes --sessions--> queue (ledger)
                                  --images--> files of the source

Starlette and uvicorn come with the extra `review`. `limits` and `serving` can be imported without.
"""
