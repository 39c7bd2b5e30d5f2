"""Composition root: store, built-in systems, pipeline and endpoints, put together by the settings."""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from cimcare.exchange.log import LogSelection
from cimcare.exchange.notices import Channel, ContactKind
from cimcare.exchange.ports import Clock, NewID
from cimcare.exchange.sending import Sender
from cimcare.exchange.store import Store, StoreError
from cimcare.hub.acts.acting import Acting
from cimcare.hub.acts.asking import Asking
from cimcare.hub.acts.calling import Calling
from cimcare.hub.acts.metering import Metering
from cimcare.hub.acts.notifying import Notifier, put_rules_in_force
from cimcare.hub.acts.turns import Turns
from cimcare.hub.config.configuration import adopt, in_force
from cimcare.hub.config.notice_settings import open_channels
from cimcare.hub.config.settings import Settings
from cimcare.hub.config.subscribing import Subscribing
from cimcare.hub.duty import Duty
from cimcare.hub.following import Follower
from cimcare.hub.intake.builtin import SYSTEMS
from cimcare.hub.intake.listening import BrokerState, Listener
from cimcare.hub.intake.passing import Circuits, Passing
from cimcare.hub.intake.pipeline import Pipeline
from cimcare.hub.intake.setup import setup_of
from cimcare.hub.intake.suspects import StoredSuspects
from cimcare.hub.intake.telling import Written
from cimcare.hub.metrics import Metrics
from cimcare.hub.new_identifiers import fresh_id
from cimcare.hub.operation.circuit_states import SharedCircuits
from cimcare.hub.operation.doctor import Doctor, metrics_of
from cimcare.hub.operation.readiness_facts import Gatherer
from cimcare.hub.operation.upkeep import Upkeep
from cimcare.hub.outgoing.delivery import Couriers
from cimcare.hub.outgoing.drilling import Driller
from cimcare.hub.outgoing.house import CourierTimes
from cimcare.hub.outgoing.taking_again import TakingAgain
from cimcare.hub.rest.alarm_pages import AlarmPages
from cimcare.hub.rest.api import build_api
from cimcare.hub.rest.audience import Audience
from cimcare.hub.rest.broker_pages import BrokerPages
from cimcare.hub.rest.customer_pages import CustomerPages
from cimcare.hub.rest.events import Events
from cimcare.hub.rest.inside import Inside, Pages, no_pages
from cimcare.hub.rest.market_pages import MarketPages
from cimcare.hub.rest.meter_pages import MeterPages
from cimcare.hub.rest.operator_pages import OperatorPages
from cimcare.hub.rest.queries import Queries
from cimcare.hub.rest.readiness_pages import ReadinessPages
from cimcare.hub.rest.streaming import Streams
from cimcare.hub.rest.viewing import Viewing
from cimcare.model.nouns import Role
from cimcare.schema import Catalog
from cimcare.schema.documents import render_schema, render_wsdl
from cimcare.schema.wsdl import GENERIC, SERVICES, operation_name
from cimcare.store.opening import open_store
from cimcare.systems.cis import seed_town
from cimcare.systems.cis.contacts import NoticeRules
from cimcare.systems.oms.meters import take_meter_events
from cimcare.systems.oms.town import seed_network
from cimcare.systems.wms import seed_crews
from cimcare.transport.broker.opening import OpenSession, open_session
from cimcare.transport.broker.sender import BrokerSender, Outlet
from cimcare.transport.http import AsgiApp, MessageEndpoints
from cimcare.transport.partners import HttpSender
from cimcare.transport.senders import Senders
from cimcare.transport.soap import TypedService

__all__ = ["Hub", "make_logger"]

TYPED_SERVICES: dict[str, TypedService] = {
    name: TypedService(
        name=name,
        noun=service.entry.noun,
        message_namespace=service.message_namespace,
        actions={operation_name(verb, service.entry): service.action(verb) for verb in service.verbs},
    )
    for name, service in SERVICES.items()
}
"""Strongly typed services, as the endpoints need them."""


_MOST_ALARM_STREAMS = 100


class Hub:
    """A hub with everything in it but the server that listens. Make it with `open`, end it with `close`."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        sender: Sender,
        pipeline: Pipeline,
        passing: Passing,
        couriers: Couriers,
        follower: Follower,
        queries: Queries,
        streams: Streams,
        viewing: Viewing,
        upkeep: Upkeep,
        audiences: Sequence[Audience],
        notifier: Notifier,
        outlets: Sequence[Outlet],
        listeners: Sequence[Listener],
        taking_again: TakingAgain,
        app: AsgiApp,
        duty: Duty,
    ):
        self.settings = settings
        self.duty = duty
        self.pipeline = pipeline
        self.couriers = couriers
        self.queries = queries
        self.streams = streams
        self.viewing = viewing
        self.upkeep = upkeep
        self.notifier = notifier
        self.listeners = tuple(listeners)
        self.app = app
        self._outlets = tuple(outlets)
        self._taking_again = taking_again
        self._audiences = audiences
        self._store = store
        self._sender = sender
        self._passing = passing
        self._follower = follower

    @classmethod
    async def open(
        cls,
        settings: Settings,
        *,
        clock: Clock | None = None,
        new_id: NewID | None = None,
        logger: structlog.typing.FilteringBoundLogger | None = None,
        store: Store | None = None,
        sender: Sender | None = None,
        chance: random.Random | None = None,
        channels: Mapping[ContactKind, Channel] | None = None,
        open_session: OpenSession = open_session,
        adopts: bool = True,
        pages: Pages = no_pages,
        duty: Duty = Duty.ALL,
        on_put: Callable[[], None] = lambda: None,
    ) -> "Hub":
        """Open the database, give the CIS its town if that is wanted, put all parts together and begin to work.

        Args:
            settings: All settings.
            clock: Now; the clock of the machine if None.
            new_id: New identifiers; random UUIDs if None.
            logger: Where what happens is noted; standard error if None.
            store: An open store, which the hub closes; the database of the settings if None.
            sender: The way to partners; HTTP and brokers if None.
            chance: Jitter.
            channels: The ways to customers by kind of contact; those of the settings if None.
            open_session: How sessions to brokers are opened.
            adopts: Whether partners and subscriptions of the settings are put in force; else those are that the
                database has, as for a process that takes the place of one that died.
            pages: More pages, such as those of the console.
            duty: Which part of the work is done here.
            on_put: Told each time that something was put into the outbox, once it is on disk.

        Raises:
            DatabaseError: The database cannot be used.
            SchemaFileError: The user's own schemas cannot be used.
        """
        clock = clock or _utc_now
        new_id = new_id or fresh_id
        chance = chance or random.SystemRandom()
        catalog = Catalog(Path(settings.schema.directory) if settings.schema.directory else None)
        metrics = Metrics(duty)
        store = store or await open_store(settings.database, on_commit=metrics.observe_commit)
        try:
            if adopts:
                await adopt(store, settings, clock())
            found = await in_force(store.reader.records)
            if settings.systems.seed_town:
                async with store.transaction() as transaction:
                    await seed_town(transaction.records, clock())
                    await seed_network(transaction.records, clock())
                    await seed_crews(transaction.records, clock())
            rules = NoticeRules(time_zone=settings.notices.time_zone, keep_days=settings.retention.notices_days)
            await put_rules_in_force(store, rules, clock())
        except BaseException:
            await store.close()
            raise
        logger = logger or make_logger(settings.hub.log_level)
        limits = settings.limits.limits
        outlets = tuple(
            Outlet(broker, open_session=open_session, limits=limits, clock=clock, chance=chance, logger=logger)
            for broker in settings.brokers
        )
        sender = sender or Senders(
            HttpSender(services=TYPED_SERVICES, limits=limits, clock=clock, lenient=settings.hub.lenient),
            BrokerSender(outlets, limits=limits, clock=clock, lenient=settings.hub.lenient),
        )
        metrics.know_brokers([broker.name for broker in settings.brokers])
        metrics.know_partners([partner.name for partner in found.partners])
        circuits = Circuits(settings.delivery.circuit_after)
        sources = _sources_of(settings)
        setup = setup_of(sources, found.partners, found.subscriptions)
        passing = Passing(
            sender=sender,
            reader=store.reader,
            circuits=circuits,
            address=settings.hub.address,
            clock=clock,
            chance=chance,
        )
        couriers = Couriers(
            store=store,
            sender=sender,
            setup=setup,
            circuits=circuits,
            address=settings.hub.address,
            times=CourierTimes(
                lease=timedelta(seconds=settings.delivery.lease_seconds),
                poll=timedelta(seconds=settings.delivery.poll_seconds),
            ),
            clock=clock,
            new_id=new_id,
            chance=chance,
            logger=logger,
            on_attempt=metrics.count_delivery,
        )

        def take_over(names: Collection[str], written: Collection[Written] = ()) -> None:
            if duty.carries:
                couriers.take_over(names, written)
            on_put()

        pipeline = Pipeline(
            store=store,
            setup=setup,
            passing=passing,
            catalog=catalog,
            settings=settings,
            clock=clock,
            new_id=new_id,
            metrics=metrics,
            logger=logger,
            on_put=take_over,
        )
        process = new_id()
        turns = Turns(store, process)
        shared = SharedCircuits(store, circuits, process, clock)
        share_circuits = {Duty.ALL: None, Duty.TAKE: shared.look, Duty.CARRY: shared.note}[duty]

        async def hold_turn(name: str, lease: timedelta) -> bool:
            return await turns.keep(name, clock()) or await turns.take(name, clock(), lease)

        listeners = tuple(
            Listener(
                outlet,
                receive=pipeline.receive,
                open_session=open_session,
                hold_turn=hold_turn,
                limits=limits,
                clock=clock,
                new_id=new_id,
                chance=chance,
                logger=logger,
                suspects=StoredSuspects(store, clock),
                listens=duty.takes,
                on_taken=metrics.count_broker_message,
            )
            for outlet in outlets
        )

        def states() -> tuple[BrokerState, ...]:
            return tuple(listener.state() for listener in listeners)

        follower = Follower(store.reader, found, sources, pipeline, couriers, logger)
        queries = Queries(store.reader)
        events = Events(store.reader, logger)
        streams = Streams(events, logger)
        viewing = Viewing(store.reader, lambda: pipeline.setup.routes, clock)
        subscribing = Subscribing(
            store,
            sources=sources,
            reply_hosts=settings.hub.reply_hosts,
            key_directory=settings.hub.key_directory,
            clock=clock,
            brokers=settings.brokers,
            on_change=follower.look,
        )
        acting = Acting(store=store, setup=lambda: pipeline.setup, clock=clock, new_id=new_id, on_put=take_over)
        metering = Metering(
            store=store,
            setup=lambda: pipeline.setup,
            take=take_meter_events,
            window=timedelta(days=settings.hub.repeat_window_days),
            clock=clock,
            new_id=new_id,
            on_put=take_over,
        )
        audiences: list[Audience] = []

        def open_audience(most: int) -> Audience:
            audiences.append(Audience(logger, most=most))
            return audiences[-1]

        audience = open_audience(_MOST_ALARM_STREAMS)
        driller = Driller(
            store=store,
            sender=sender,
            catalog=catalog,
            settings=settings.doctor,
            sources=sources,
            context=settings.hub.context,
            address=settings.hub.address,
            circuits=shared.all,
            is_busy=lambda: pipeline.waiting > settings.hub.queue_limit // 10,
            brokers=states,
            clock=clock,
            new_id=new_id,
        )
        doctor = Doctor(
            store=store,
            settings=settings,
            driller=driller,
            gatherer=Gatherer(
                store=store,
                settings=settings,
                catalog=catalog,
                clock=clock,
                circuits=shared.all,
                overload=lambda: _overload(pipeline, settings),
                brokers=states,
            ),
            partners=lambda: couriers.setup.routes.partners,
            clock=clock,
            on_sheet=metrics_of(metrics),
        )
        upkeep = Upkeep(
            store=store,
            settings=settings,
            partners=lambda: couriers.setup.routes.partners,
            circuits=circuits.all,
            metrics=metrics,
            acting=acting,
            systems=SYSTEMS,
            brokers=states,
            clock=clock,
            process=process,
            logger=logger,
            doctor=doctor,
            duty=duty,
            share_circuits=share_circuits,
            on_alarms=audience.announce,
        )
        asking = Asking(
            receive=pipeline.receive, sources=sources, context=settings.hub.context, clock=clock, new_id=new_id
        )
        calling = Calling(
            asking=asking,
            reader=store.reader,
            acting=acting,
            sources=sources,
            clock=clock,
            new_id=new_id,
        )
        notifier = Notifier(
            store=store,
            channels=channels if channels is not None else open_channels(settings.notices, clock),
            lease=settings.notices.lease,
            parallel=settings.notices.parallel,
            poll=timedelta(seconds=settings.delivery.poll_seconds),
            process=new_id(),
            clock=clock,
            new_id=new_id,
            metrics=metrics,
            logger=logger,
        )
        inside = Inside(
            settings=settings,
            reader=store.reader,
            queries=queries,
            catalog=catalog,
            watcher=upkeep.watcher,
            doctor=doctor,
            store=store,
            asking=asking,
            calling=calling,
            acting=acting,
            subscribing=subscribing,
            setup=lambda: pipeline.setup,
            circuits=shared.all,
            open_audience=open_audience,
            clock=clock,
            new_id=new_id,
        )
        endpoints = MessageEndpoints(
            pipeline.receive,
            services=TYPED_SERVICES,
            documents=_Documents(catalog),
            otherwise=build_api(
                queries,
                events,
                streams,
                subscribing,
                viewing,
                MarketPages(store.reader, viewing, acting, clock),
                OperatorPages(store.reader, shared.all, clock),
                AlarmPages(store.reader, upkeep.watcher, audience),
                ReadinessPages(doctor),
                BrokerPages(store.reader, states, process, clock),
                CustomerPages(store.reader, calling),
                MeterPages(
                    metering,
                    most_bytes=settings.limits.max_bytes,
                    receive_seconds=settings.hub.receive_seconds,
                    retry_after_seconds=settings.hub.retry_after_seconds,
                ),
                metrics,
                _readiness(pipeline, queries, settings),
                list(TYPED_SERVICES),
                pages(inside),
                logger,
            ),
            max_bytes=settings.limits.max_bytes,
            receive_seconds=settings.hub.receive_seconds,
        )
        hub = cls(
            settings=settings,
            store=store,
            sender=sender,
            pipeline=pipeline,
            passing=passing,
            couriers=couriers,
            follower=follower,
            queries=queries,
            streams=streams,
            viewing=viewing,
            upkeep=upkeep,
            audiences=audiences,
            notifier=notifier,
            outlets=outlets,
            listeners=listeners,
            taking_again=TakingAgain(
                store=store,
                receive=pipeline.receive,
                poll=timedelta(seconds=5 * settings.delivery.poll_seconds),
                clock=clock,
                logger=logger,
            ),
            app=endpoints,
            duty=duty,
        )
        hub._start()
        return hub

    def _start(self) -> None:
        """Begin with what is to be done here."""
        for outlet in self._outlets:
            outlet.link.start()
        if self.duty.takes:
            for listener in self.listeners:
                listener.start()
        if self.duty.carries:
            self._taking_again.start()
            self.couriers.start()
        self._follower.start(self.settings.delivery.poll_seconds)
        self.upkeep.start()
        if self.duty.carries:
            self.notifier.start()

    def end_streams(self) -> None:
        """End all streams to clients, which would have no end by themselves."""
        self.streams.stop()
        for audience in self._audiences:
            audience.stop()

    async def close(self) -> None:
        """End what is under way, deliveries too, make durable what waits, and close the database."""
        await asyncio.gather(*(listener.stop() for listener in self.listeners))
        await self._taking_again.stop()
        await self.notifier.stop()
        self.end_streams()
        await self.upkeep.stop()
        await self._follower.stop()
        await self._passing.stop()
        await self.couriers.stop()
        await asyncio.gather(*(outlet.link.stop() for outlet in self._outlets))
        await self._store.close()
        if isinstance(self._sender, Senders):
            await self._sender.close()


def _sources_of(settings: Settings) -> Mapping[Role, str]:
    return {role: settings.systems.source_of(role) for role in Role}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class _Documents:
    """Service descriptions out of the catalog, so that a user's own schemas are served too."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def find_wsdl(self, service: str, address: str) -> bytes | None:
        """WSDL of a service; the generic one has no name here."""
        try:
            return render_wsdl(service or GENERIC, address)
        except KeyError:
            return None

    def find_schema(self, service: str, file: str, address: str) -> bytes | None:
        """Schema of a service by file name."""
        try:
            return render_schema(service or GENERIC, file, address, catalog=self._catalog)
        except KeyError:
            return None


def _overload(pipeline: Pipeline, settings: Settings) -> str:
    """Why no messages can be taken now; empty if they can."""
    return f"{pipeline.waiting} messages in work" if pipeline.waiting >= settings.hub.queue_limit else ""


def _readiness(pipeline: Pipeline, queries: Queries, settings: Settings) -> Callable[[], Awaitable[str]]:
    async def is_ready() -> str:
        if overload := _overload(pipeline, settings):
            return overload
        try:
            await queries.list_messages(LogSelection(limit=1))
        except StoreError as error:
            return str(error)
        return ""

    return is_ready


def make_logger(level: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that writes one JSON object a line to standard error, from `level` on."""
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    return logger
