"""Environments on the sessions of one store, ready to use, under the name of kalshiflow_rl."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kalshi_sim.store.urls import without_password
from kalshi_train.data.loader import SessionDataLoader
from kalshi_train.environments.sessions import SessionBasedEnvironment
from kalshi_train.environments.settings import SB3TrainingConfig


class CurriculumEnvironmentFactory:
    """Makes environments from the sessions of one store."""

    def __init__(self, database_url: str | None):
        """`database_url` as in `SessionBasedEnvironment`.

        Args:
            database_url: folder or URL of the store, as in `SessionBasedEnvironment`.
        """
        self.database_url = database_url

    def __repr__(self) -> str:
        store = None if self.database_url is None else without_password(self.database_url)
        return f"CurriculumEnvironmentFactory({store!r})"

    async def create_single_session_env(
        self, session_id: int, config: SB3TrainingConfig | None = None, n_envs: int = 1
    ) -> SessionBasedEnvironment:
        """An environment over one session, ready to use; errors as `initialize`.

        Args:
            session_id: which session.
            config: settings of episodes; the defaults if omitted.
            n_envs: environments in the batch.

        Returns:
            The environment, initialized.
        """
        return await self.create_multi_session_env([session_id], config, n_envs)

    async def create_multi_session_env(
        self,
        session_ids: Sequence[int],
        config: SB3TrainingConfig | None = None,
        n_envs: int = 1,
    ) -> SessionBasedEnvironment:
        """An environment over several sessions, ready to use; errors as `initialize`.

        Args:
            session_ids: which sessions.
            config: settings of episodes; the defaults if omitted.
            n_envs: environments in the batch.

        Returns:
            The environment, initialized.
        """
        env = SessionBasedEnvironment(self.database_url, session_ids, config, n_envs)
        await env.initialize()
        return env

    async def create_env_from_curriculum(
        self,
        session_ids: int | Sequence[int],
        config: SB3TrainingConfig | None = None,
        n_envs: int = 1,
    ) -> SessionBasedEnvironment:
        """An environment over one session or several, ready to use; errors as `initialize`.

        Args:
            session_ids: one session or several.
            config: settings of episodes; the defaults if omitted.
            n_envs: environments in the batch.

        Returns:
            The environment, initialized.
        """
        ids = [session_ids] if isinstance(session_ids, int) else list(session_ids)
        return await self.create_multi_session_env(ids, config, n_envs)

    async def get_available_sessions(self) -> list[Any]:
        """What the store holds; see `SessionDataLoader.get_available_sessions`.

        Returns:
            A line of figures for each session, by id.
        """
        return list(await SessionDataLoader(self.database_url).get_available_sessions())
