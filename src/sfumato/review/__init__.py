"""People in the loop: who looks at which image, what they say, and what follows from it.

    detections --planning--> items --queue--> leases --web or files--> answers
    answers --quality--> weights --merging--> decisions --estimation--> what is still missed

`vocabulary` has the words. Nothing here knows of HTTP; `sfumato.web` serves the page.
"""
