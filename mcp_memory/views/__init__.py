"""Models as others see them: `data` for programs, `lines` for readers. Pure; both forms are complete and compact."""
